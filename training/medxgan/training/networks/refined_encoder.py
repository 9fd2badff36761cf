"""An encoder that sees what its guess leaves undrawn, and moves the code by that: passes in place of gradient steps."""

import torch
from torch import Tensor, nn

from medxgan.training.networks.generator import FINE_STRIDE, TwoBranchGenerator
from medxgan.training.networks.masked_generator import MaskedGenerator

RESIDUAL_SCALE = 5.0
"""Residuals are about a fifth of a picture's grey levels at most."""


class ResidualEncoder(nn.Module):
    """An image, what was drawn of it, and the code that it was drawn from, to a move of the code.

    Of strided convolutions the third has the fine codes' resolution, as in the encoder; the code comes in there. It
    moves nothing before it is trained.

    Args:
        generator: whose code is moved.
        channels: of the four convolutions, each of which halves the resolution.
        anatomy_alone: whether z1 alone is moved.
    """

    def __init__(
        self,
        generator: TwoBranchGenerator | MaskedGenerator,
        channels: tuple[int, int, int, int],
        *,
        anatomy_alone: bool,
    ) -> None:
        super().__init__()
        self.lengths = generator.parts[:2] if anatomy_alone else generator.parts
        self.coarse = self.lengths[::2]
        self.side = generator.image_size // FINE_STRIDE
        self.fine = [length // self.side**2 for length in self.lengths[1::2]]
        first, second, third, fourth = channels
        self.before = nn.Sequential(
            nn.Conv2d(3, first, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(first, second, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(second, third, 4, 2, 1),
            nn.LeakyReLU(0.2),
        )
        self.context = nn.Sequential(nn.Conv2d(third + sum(self.fine), third, 3, 1, 1), nn.LeakyReLU(0.2))
        self.detail = nn.Conv2d(third, sum(self.fine), 3, 1, 1)
        self.after = nn.Sequential(nn.Conv2d(third, fourth, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten())
        self.project = nn.Linear(fourth * (self.side // 2) ** 2 + sum(self.coarse), sum(self.coarse))
        for last in (self.detail, self.project):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor, drawn: Tensor, z: Tensor) -> Tensor:
        """The code after the move, [B, D].

        Args:
            x: [B, 1, S, S] the image, in [-1, 1].
            drawn: [B, 1, S, S] the picture of z.
            z: [B, D] the code so far.
        """
        moved, held = torch.split(z, [sum(self.lengths), z.shape[1] - sum(self.lengths)], 1)
        parts = torch.split(moved, self.lengths, 1)
        coarse, grid = (
            torch.cat(parts[::2], 1),
            torch.cat(parts[1::2], 1).reshape(-1, sum(self.fine), self.side, self.side),
        )
        eighth = self.before(torch.cat([x, drawn, RESIDUAL_SCALE * (x - drawn)], 1))
        seen = self.context(torch.cat([eighth, grid], 1))
        coarse_moves = torch.split(self.project(torch.cat([self.after(seen), coarse], 1)), self.coarse, 1)
        fine_moves = torch.split(self.detail(seen), self.fine, 1)
        moves = [each.flatten(1) for pair in zip(coarse_moves, fine_moves, strict=True) for each in pair]
        return torch.cat([moved + torch.cat(moves, 1), held], 1)


class RefinedEncoder(nn.Module):
    """An encoder and passes of a residual encoder after it (ReStyle; Alaluf et al., ICCV 2021).

    A pass costs a drawing and a small network. A gradient step costs a drawing, C, and the way back through both.

    Args:
        encoder: makes the first guess.
        generator: draws it.
        residual: moves the code, by what is drawn of it.
        passes: how often, >= 1.
    """

    def __init__(
        self,
        encoder: nn.Module,
        generator: TwoBranchGenerator | MaskedGenerator,
        residual: ResidualEncoder,
        passes: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.generator = generator
        self.residual = residual
        self.passes = passes

    def forward(self, x: Tensor) -> Tensor:
        """Latent code z [B, D] of x: [B, 1, S, S] in [-1, 1]."""
        z: Tensor = self.encoder(x)
        for _ in range(self.passes):
            z = self.residual(x, self.generator(z), z)
        return z
