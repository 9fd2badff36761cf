"""The generator G(z1, z2): z1 the anatomy, z2 the pathology that the classifier looks at, z2 = 0 "negative"."""

from itertools import pairwise

import torch
from torch import Tensor, nn

GATE_STEEPNESS = 4.0
"""How fast the pathology branch opens with the mean square of z2: z2 ~ N(0, I) opens it to 0.98."""

FINE_STRIDE = 8
"""Pixels of the image along each axis that one place of a fine code stands for."""


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

    def realize(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """G(z1, z2) and G(z1, 0), [B, 1, S, S] each; what they share is drawn once."""
        return self(z), self.negative(z)


class PlainGenerator(Generator):
    """One decoder of both codes, as published (Dravid et al., medXGAN, CVPR-W 2022).

    Args:
        z1_size: number of anatomy latents.
        z2_size: number of pathology latents.
        channels: channels from 4x4 pixels upwards; n of them make an image of 4 * 2**n pixels.
    """

    def __init__(self, z1_size: int, z2_size: int, channels: tuple[int, ...]) -> None:
        super().__init__(z1_size, z2_size, 4 * 2 ** len(channels))
        self.decoder = Decoder(z1_size + z2_size, 0, channels)

    def forward(self, z: Tensor) -> Tensor:
        """Image [B, 1, S, S] in [-1, 1] from z: [B, z1_size + z2_size]."""
        return torch.tanh(self.decoder(z))


class TwoBranchGenerator(Generator):
    """Anatomy plus a gated pathology: tanh(A(z1) + gate(z2) * P(z1, z2)), with gate(0) = 0.

    The negative realization *is* the anatomy branch, by construction. Either code may have a fine part beside the
    coarse one: a grid at an eighth of the image's resolution, which puts a detail where it is without the coarse
    code having to say so. Along z lie coarse z1, fine z1, coarse z2, fine z2.

    Args:
        z1_size: number of coarse anatomy latents.
        z2_size: number of coarse pathology latents.
        anatomy_channels: channels of A from 4x4 pixels upwards; n of them make an image of 4 * 2**n pixels.
        pathology_channels: channels of P, as many as A has.
        fine_z1: channels of the grid of anatomy latents, 0 for none.
        fine_z2: channels of the grid of pathology latents, 0 for none.
    """

    def __init__(
        self,
        z1_size: int,
        z2_size: int,
        anatomy_channels: tuple[int, ...],
        pathology_channels: tuple[int, ...],
        fine_z1: int = 0,
        fine_z2: int = 0,
    ) -> None:
        side = 4 * 2 ** len(anatomy_channels) // FINE_STRIDE
        self.parts = [z1_size, fine_z1 * side**2, z2_size, fine_z2 * side**2]
        super().__init__(sum(self.parts[:2]), sum(self.parts[2:]), side * FINE_STRIDE)
        self.anatomy = Decoder(z1_size, fine_z1, anatomy_channels)
        self.pathology = Decoder(z1_size + z2_size, fine_z1 + fine_z2, pathology_channels)

    def realize(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """G(z1, z2) and G(z1, 0), [B, 1, S, S] each; the anatomy is drawn once."""
        z2 = z[:, self.z1_size :]
        gate = (1 - torch.exp(-GATE_STEEPNESS * (z2 * z2).mean(1)))[:, None, None, None]
        coarse_1, fine_1, coarse_2, fine_2 = torch.split(z, self.parts, 1)
        pathology = self.pathology(torch.cat([coarse_1, coarse_2], 1), torch.cat([fine_1, fine_2], 1))
        anatomy = self.anatomy(coarse_1, fine_1)
        return torch.tanh(anatomy + gate * pathology), torch.tanh(anatomy)

    def forward(self, z: Tensor) -> Tensor:
        """Image [B, 1, S, S] in [-1, 1] from z: [B, z1_size + z2_size]."""
        return self.realize(z)[0]


class Decoder(nn.Module):
    """From latent codes to [B, 1, S, S], unbounded: doubles the resolution with each transposed convolution.

    Args:
        coarse: number of latents that the first 4x4 pixels are made of.
        fine: channels of the grid of latents that is added at an eighth of the image's resolution, 0 for none.
        channels: channels from 4x4 pixels upwards.
    """

    def __init__(self, coarse: int, fine: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.channels = channels[0]
        self.side = 4 * 2 ** len(channels) // FINE_STRIDE
        self.project = nn.Linear(coarse, channels[0] * 16)
        layers: list[nn.Module] = [nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for inputs, outputs in pairwise(channels):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        layers.append(nn.ConvTranspose2d(channels[-1], 1, 4, 2, 1))
        # The grid comes in behind the convolution, if any, that makes pictures of its size, and before the norm.
        entry = 3 * (len(channels) - 3) if fine else 0
        self.before, self.after = nn.Sequential(*layers[:entry]), nn.Sequential(*layers[entry:])
        self.detail = nn.Conv2d(fine, channels[-3], 3, 1, 1, bias=False) if fine else None

    def forward(self, coarse: Tensor, fine: Tensor | None = None) -> Tensor:
        """Picture [B, 1, S, S] before the squashing to [-1, 1], from coarse [B, D] and fine [B, C * (S/8)**2]."""
        picture = self.before(self.project(coarse).view(-1, self.channels, 4, 4))
        if self.detail is not None and fine is not None:
            picture = picture + self.detail(fine.reshape(-1, self.detail.in_channels, self.side, self.side))
        image: Tensor = self.after(picture)
        return image
