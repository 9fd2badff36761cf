"""What is learned: an encoder that sees its own residual, and the step that is taken along a gradient."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learned.codes import CodeParts

RESIDUAL_SCALE = 5.0
"""Residuals are about a fifth of a picture's grey levels at most."""
LOGIT_SCALE = 0.2
"""Logits lie within about five of 0."""
RANK = 24
FIRST_LENGTH = 0.03
"""Of a step, as the root of the mean square of its latents, before anything is learned: Adam's first has 0.05."""


class ResidualEncoder(nn.Module):
    """An image, what was drawn of it, and the code that it was drawn from, to a move of the code.

    ReStyle (Alaluf et al., ICCV 2021) with an eye on the score too. Of strided convolutions the third has the fine
    codes' resolution, as in the encoder; the code comes in there. It moves nothing before it is trained.

    Args:
        parts: of the code.
        channels: of the convolutions, each of which halves the resolution.
    """

    def __init__(self, parts: CodeParts, channels: tuple[int, int, int, int] = (32, 48, 64, 96)) -> None:
        super().__init__()
        self.parts = parts
        first, second, third, fourth = channels
        fine, coarse = sum(parts.fine), sum(parts.coarse)
        self.before = nn.Sequential(
            nn.Conv2d(3, first, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(first, second, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(second, third, 4, 2, 1),
            nn.LeakyReLU(0.2),
        )
        self.context = nn.Sequential(nn.Conv2d(third + fine + 2, third, 3, 1, 1), nn.LeakyReLU(0.2))
        self.detail = nn.Conv2d(third, fine, 3, 1, 1)
        self.after = nn.Sequential(nn.Conv2d(third, fourth, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten())
        self.project = nn.Linear(fourth * (parts.side // 2) ** 2 + coarse, coarse)
        for last in (self.detail, self.project):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, drawn: Tensor, z: Tensor, wanted: Tensor, logit: Tensor) -> Tensor:
        """The move [B, D].

        Args:
            x: [B, 1, S, S] the image.
            drawn: [B, 1, S, S] the picture of z.
            z: [B, D] the code so far.
            wanted: [B] C's logit of x.
            logit: [B] C's logit of what was drawn.
        """
        coarse, grid = self.parts.split(z)
        eighth = self.before(torch.cat([x, drawn, RESIDUAL_SCALE * (x - drawn)], 1))
        scores = LOGIT_SCALE * torch.stack([wanted, wanted - logit], 1).clamp(-20, 20)
        scores = scores[:, :, None, None].expand(-1, -1, *eighth.shape[2:])
        seen = self.context(torch.cat([eighth, grid, scores], 1))
        return self.parts.joined(self.project(torch.cat([self.after(seen), coarse], 1)), self.detail(seen))


class LearnedStep(nn.Module):
    """The n-th step from a gradient: a preconditioner of its own for each n, and a length by what the row is like.

    The preconditioner is diagonal, plus one of low rank, plus a convolution over the grid of the fine codes; a share of
    the move before is taken again. The length comes of the gradient's size and of the losses, for z1 and z2 apart, by
    a small network that all steps share.

    Args:
        parts: of the code.
        steps: how many there are.
    """

    def __init__(self, parts: CodeParts, steps: int) -> None:
        super().__init__()
        self.parts, self.steps = parts, steps
        channels = sum(parts.fine)
        self.diagonal = nn.Parameter(torch.full((steps, parts.size), FIRST_LENGTH))
        self.left = nn.Parameter(torch.zeros(steps, RANK, parts.size))
        self.right = nn.Parameter(torch.randn(steps, RANK, parts.size) / parts.size**0.5)
        self.convolution = nn.Parameter(torch.zeros(steps, channels, channels, 3, 3))
        self.momentum = nn.Parameter(torch.zeros(steps))
        self.step_bias = nn.Parameter(torch.zeros(steps, 16))
        self.features = nn.Linear(4, 16)
        self.length = nn.Linear(16, 2)
        nn.init.zeros_(self.length.weight)
        nn.init.zeros_(self.length.bias)

    def forward(self, step: int, gradient: Tensor, losses: Tensor, before: Tensor) -> Tensor:
        """The move [B, D].

        Args:
            step: its number, from 0.
            gradient: [B, D] of the loss.
            losses: [B, 2] MSE and BCE.
            before: [B, D] the move of the step before; 0 at the first.
        """
        size = gradient.square().mean(1, keepdim=True).add(1e-16).sqrt()
        own = gradient / size
        low_rank = own @ self.right[step].T @ self.left[step]
        coarse, grid = self.parts.split(own)
        smooth = self.parts.joined(torch.zeros_like(coarse), F.conv2d(grid, self.convolution[step], padding=1))
        z1, z2 = torch.split(gradient, [self.parts.z1_size, self.parts.size - self.parts.z1_size], 1)
        sizes = [part.square().mean(1).add(1e-16).sqrt() for part in (z1, z2)]
        told = torch.stack([*sizes, losses[:, 0], losses[:, 1] + 1e-3], 1).log10() + 3
        length_1, length_2 = self.length(torch.tanh(self.features(told) + self.step_bias[step])).exp().split(1, 1)
        length = torch.cat([length_1.expand_as(z1), length_2.expand_as(z2)], 1)
        return self.momentum[step] * before - length * (self.diagonal[step] * own + low_rank + smooth)
