"""What is learned: an encoder that sees its own residual, and the step that is taken along a gradient."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learned.codes import CodeParts
from medxgan.v1 import bundle_pb2

RESIDUAL_SCALE = 5.0
"""Residuals are about a fifth of a picture's grey levels at most."""
LOGIT_SCALE = 0.2
"""Logits lie within about five of 0."""
RANK = 24
HIDDEN = 16


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
    """Adam's steps, with a preconditioner for each that is learned; before that, they are Adam's.

    What is preconditioned is Adam's own direction and, beside it, the gradient over its size. The preconditioner is
    diagonal, plus one of low rank, plus a convolution over the grid of the fine codes. The length comes of the
    gradient's size and of the losses, for z1 and z2 apart, by a small network that all steps share.

    Args:
        parts: of the code.
        steps: how many there are.
        adam: whose steps they are at first.
    """

    def __init__(self, parts: CodeParts, steps: int, adam: bundle_pb2.InversionSpecification) -> None:
        super().__init__()
        self.parts, self.steps = parts, steps
        self.rate, self.betas, self.epsilon = adam.default_learning_rate, (adam.beta1, adam.beta2), adam.epsilon
        channels = sum(parts.fine)
        self.log_diagonal = nn.Parameter(torch.zeros(steps, parts.size))
        self.of_gradient = nn.Parameter(torch.zeros(steps, parts.size))
        self.left = nn.Parameter(torch.zeros(steps, RANK, parts.size))
        self.right = nn.Parameter(torch.randn(steps, RANK, 2 * parts.size) / parts.size**0.5)
        self.convolution = nn.Parameter(torch.zeros(steps, channels, 2 * channels, 3, 3))
        self.step_bias = nn.Parameter(torch.zeros(steps, HIDDEN))
        self.features = nn.Linear(4, HIDDEN)
        self.length = nn.Linear(HIDDEN, 2)
        nn.init.zeros_(self.length.weight)
        nn.init.zeros_(self.length.bias)

    def forward(
        self, step: int, gradient: Tensor, losses: Tensor, first_moment: Tensor, second_moment: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The move [B, D], and Adam's next moments.

        Args:
            step: its number, from 0.
            gradient: [B, D] of the loss.
            losses: [B, 2] MSE and BCE.
            first_moment: [B, D] Adam's running mean of the gradient; 0 before the first step, as is the next.
            second_moment: [B, D] of the squared gradient.
        """
        beta_1, beta_2 = self.betas
        first_moment = first_moment.lerp(gradient, 1 - beta_1)
        second_moment = second_moment.lerp(gradient.square(), 1 - beta_2)
        size = (second_moment / (1 - beta_2 ** (step + 1))).sqrt()
        adam = first_moment / (1 - beta_1 ** (step + 1)) / (size + self.epsilon)
        own = gradient / _size(gradient)[:, None]
        low_rank = torch.cat([adam, own], 1) @ self.right[step].T @ self.left[step]
        (coarse, grid), (_, own_grid) = self.parts.split(adam), self.parts.split(own)
        near = F.conv2d(torch.cat([grid, own_grid], 1), self.convolution[step], padding=1)
        diagonal = self.log_diagonal[step].exp() * adam + self.of_gradient[step] * own
        direction = diagonal + low_rank + self.parts.joined(torch.zeros_like(coarse), near)
        return -self.rate * self._length(step, gradient, losses) * direction, first_moment, second_moment

    def _length(self, step: int, gradient: Tensor, losses: Tensor) -> Tensor:
        """[B, D] over Adam's, one for z1 and one for z2."""
        sizes = [self.parts.z1_size, self.parts.size - self.parts.z1_size]
        felt = [_size(part) for part in torch.split(gradient, sizes, 1)]
        told = torch.stack([*felt, losses[:, 0], losses[:, 1] + 1e-3], 1).log10() + 3
        each = self.length(torch.tanh(self.features(told) + self.step_bias[step])).exp()
        z1, z2 = (length.expand(-1, size) for length, size in zip(each.split(1, 1), sizes, strict=True))
        return torch.cat([z1, z2], 1)


def _size(gradient: Tensor) -> Tensor:
    """[B] the root of the mean square."""
    return gradient.square().mean(1).add(1e-16).sqrt()
