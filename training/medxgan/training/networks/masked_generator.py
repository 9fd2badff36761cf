"""A generator whose pathology is a smooth, bounded, brighter patch within a mask: sharp by construction.

What is shown to a reader is the image less the difference G(z1, z2) - G(z1, 0), and here the difference has no detail
of its own. So whatever detail the image has, the applied negative has too, however coarse the codes are.
"""

import torch
from torch import Tensor, nn

from medxgan.training.networks.generator import FINE_STRIDE, GATE_STEEPNESS, Decoder, Generator
from medxgan.training.networks.spline import binomial_matrix, enlarge, spline_matrix

KNOTS = 4
"""Pixels of the image between two coefficients of the surface that the pathology is."""

FEATURES = 48
"""Channels of the pathology branch, before its last enlargement."""

CLOSED = -2.0
"""What the mask's logit begins with: the branch opens where training gains by it."""


class MaskedGenerator(Generator):
    """G(z1, z2) = A(z1) + surface of gate(z2) * mask(z2) * density(z2).

    A is the decoder of the anatomy, within [-1, 1], behind a fixed low-pass that leaves nothing of the finest chequers.
    The sum is not cut off at 1: G(z1, z2) may exceed it by up to `bound`, so that the difference is smooth where the
    anatomy is bright too. Gate, mask and density are drawn at a quarter of the resolution; their product is the
    coefficients of a B-spline surface, so that the difference is between 0 and `bound` and smooth over some four
    pixels. The gate is local: where the fine code of the pathology is 0, nothing is added.

    In training the mask learns by its place alone (`masked_objective.place`), and whatever else is wanted of the
    pathology by its density: a mask that opened where that wins the classifier over would open all along the diaphragm.
    Within the mask the density has the mask's resolution, because a healthy lung has outlines: of the diaphragm and of
    the heart, where there is nothing to take away. With one density for a quarter of the side, the classifier called
    positive what was left of nine in ten films.

    Along z lie coarse z1, fine z1, coarse z2, fine z2, as in the two-branch form.

    Args:
        z1_size: number of coarse anatomy latents.
        z2_size: number of coarse pathology latents: how dense, over the whole picture.
        anatomy_channels: channels of A from 4x4 pixels upwards; n of them make an image of 4 * 2**n pixels.
        fine_z1: channels of the grid of anatomy latents.
        fine_z2: channels of the grid of pathology latents.
        bound: what pathology adds at most to a level in [-1, 1].
        floor: share of the bound that it adds at least where the mask is open. Without, the density left holes in the
            middle of lesions, round as a heart or a diaphragm, that the classifier let pass.
    """

    interpolation: Tensor
    surface: Tensor
    low_pass: Tensor

    def __init__(
        self,
        z1_size: int,
        z2_size: int,
        anatomy_channels: tuple[int, ...],
        fine_z1: int,
        fine_z2: int,
        bound: float,
        floor: float = 0.0,
    ) -> None:
        image_size = 4 * 2 ** len(anatomy_channels)
        self.side = image_size // FINE_STRIDE
        places = self.side**2
        self.parts = [z1_size, fine_z1 * places, z2_size, fine_z2 * places]
        super().__init__(sum(self.parts[:2]), sum(self.parts[2:]), image_size)
        self.bound, self.floor = bound, floor
        self.fine_z2 = fine_z2
        self.anatomy = Decoder(z1_size, fine_z1, anatomy_channels)
        self.coarse = nn.Linear(z2_size, FEATURES, bias=False)
        self.first = nn.Conv2d(fine_z2, FEATURES, 3, 1, 1)
        self.second = nn.Conv2d(FEATURES, FEATURES, 3, 1, 1)
        self.third = nn.Conv2d(FEATURES, FEATURES // 2, 3, 1, 1)
        self.last = nn.Conv2d(FEATURES // 2, 2, 3, 1, 1)
        self.act = nn.LeakyReLU(0.2)
        with torch.no_grad():
            self.last.weight.mul_(0.3)
        self.last.bias = nn.Parameter(torch.tensor([CLOSED, 0.0]))
        self.register_buffer("interpolation", spline_matrix(self.side, image_size // KNOTS), persistent=False)
        self.register_buffer("low_pass", binomial_matrix(image_size), persistent=False)
        self.register_buffer("surface", spline_matrix(image_size // KNOTS, image_size), persistent=False)

    def pathology_parameters(self) -> list[nn.Parameter]:
        """Those that draw the pathology; all others draw the anatomy."""
        layers = (self.coarse, self.first, self.second, self.third, self.last)
        return [parameter for layer in layers for parameter in layer.parameters()]

    def pathology(self, z2: Tensor) -> tuple[Tensor, Tensor]:
        """What z2: [B, z2_size] adds, [B, 1, S, S] in [0, bound], and its mask [B, 1, S/4, S/4] in [0, 1]."""
        coarse, fine = torch.split(z2, self.parts[2:], 1)
        grid = fine.reshape(-1, self.fine_z2, self.side, self.side)
        gate = 1 - torch.exp(-GATE_STEEPNESS * (grid * grid).mean(1, keepdim=True))
        features = self.act(self.first(grid) + self.coarse(coarse)[:, :, None, None])
        features = enlarge(self.act(self.second(features)), self.interpolation)
        drawn = torch.sigmoid(self.last(self.act(self.third(features))))
        mask = enlarge(gate, self.interpolation) * drawn[:, :1]
        within = mask.detach() if self.training else mask
        density = self.bound * (self.floor + (1 - self.floor) * drawn[:, 1:])
        return enlarge(within * density, self.surface), mask

    def realize(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """G(z1, z2) and G(z1, 0), [B, 1, S, S] each; the anatomy is drawn once."""
        negative = self.draw_anatomy(z[:, : self.z1_size])
        added, _ = self.pathology(z[:, self.z1_size :])
        return negative + added, negative

    def draw_anatomy(self, z1: Tensor) -> Tensor:
        """The negative realization [B, 1, S, S] of z1: [B, z1_size]."""
        coarse, fine = torch.split(z1, self.parts[:2], 1)
        return torch.tanh(enlarge(self.anatomy(coarse, fine), self.low_pass))

    def forward(self, z: Tensor) -> Tensor:
        """Image [B, 1, S, S] in [-1, 1 + bound] from z: [B, z1_size + z2_size]."""
        return self.realize(z)[0]
