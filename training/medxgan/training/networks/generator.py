"""The generator G(z1, z2): z1 the anatomy, z2 the pathology that the classifier looks at, z2 = 0 "negative"."""

from itertools import pairwise

import torch
from torch import Tensor, nn

GATE_STEEPNESS = 4.0
"""How fast the pathology branch opens with the mean square of z2: z2 ~ N(0, I) opens it to 0.98."""


class Generator(nn.Module):
    """What both forms of the generator share: z = [z1, z2] in, an image out.

    Attributes:
        z1_size: number of anatomy latents.
        z2_size: number of pathology latents.
        image_size: side S of the image in pixels.
    """

    def __init__(self, z1_size: int, z2_size: int, image_size: int) -> None:
        super().__init__()
        self.z1_size = z1_size
        self.z2_size = z2_size
        self.image_size = image_size

    def negative(self, z: Tensor) -> Tensor:
        """The negative realization G(z1, 0) [B, 1, S, S] of z: [B, z1_size + z2_size]."""
        image: Tensor = self(torch.cat([z[:, : self.z1_size], torch.zeros_like(z[:, self.z1_size :])], 1))
        return image


class PlainGenerator(Generator):
    """One decoder of both codes, as published (Dravid et al., medXGAN, CVPR-W 2022).

    Args:
        z1_size: number of anatomy latents.
        z2_size: number of pathology latents.
        channels: channels from 4x4 pixels upwards; n of them make an image of 4 * 2**n pixels.
    """

    def __init__(self, z1_size: int, z2_size: int, channels: tuple[int, ...]) -> None:
        super().__init__(z1_size, z2_size, 4 * 2 ** len(channels))
        self.decoder = Decoder(z1_size + z2_size, channels)

    def forward(self, z: Tensor) -> Tensor:
        """Image [B, 1, S, S] in [-1, 1] from z: [B, z1_size + z2_size]."""
        return torch.tanh(self.decoder(z))


class TwoBranchGenerator(Generator):
    """Anatomy plus a gated pathology: tanh(A(z1) + gate(z2) * P(z1, z2)), with gate(0) = 0.

    The negative realization *is* the anatomy branch, by construction.

    Args:
        z1_size: number of anatomy latents.
        z2_size: number of pathology latents.
        anatomy_channels: channels of A from 4x4 pixels upwards; n of them make an image of 4 * 2**n pixels.
        pathology_channels: channels of P, as many as A has.
    """

    def __init__(
        self, z1_size: int, z2_size: int, anatomy_channels: tuple[int, ...], pathology_channels: tuple[int, ...]
    ) -> None:
        super().__init__(z1_size, z2_size, 4 * 2 ** len(anatomy_channels))
        self.anatomy = Decoder(z1_size, anatomy_channels)
        self.pathology = Decoder(z1_size + z2_size, pathology_channels)

    def forward(self, z: Tensor) -> Tensor:
        """Image [B, 1, S, S] in [-1, 1] from z: [B, z1_size + z2_size]."""
        z2 = z[:, self.z1_size :]
        gate = 1 - torch.exp(-GATE_STEEPNESS * (z2 * z2).mean(1))
        return torch.tanh(self.anatomy(z[:, : self.z1_size]) + gate[:, None, None, None] * self.pathology(z))


class Decoder(nn.Module):
    """From a latent code [B, D] to [B, 1, S, S], unbounded: doubles the resolution with each transposed convolution."""

    def __init__(self, latents: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.channels = channels[0]
        self.project = nn.Linear(latents, channels[0] * 16)
        self.first = nn.Sequential(nn.BatchNorm2d(channels[0]), nn.ReLU())
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.upsample = nn.Sequential(*layers, nn.ConvTranspose2d(channels[-1], 1, 4, 2, 1))

    def forward(self, z: Tensor) -> Tensor:
        """Picture [B, 1, S, S] before the squashing to [-1, 1]."""
        seed = self.project(z).view(-1, self.channels, 4, 4)
        picture: Tensor = self.upsample(self.first(seed))
        return picture
