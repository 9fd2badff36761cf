"""The measures of how unlike an image is to the films of the training."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medxgan.training.networks.channels import COARSEST_SIDE, encoder_channels

FOREIGNNESS = "foreignness"
APPEARANCE = "appearance_distance"

MEASURES = {
    FOREIGNNESS: "Log-odds, by a small network, that it is a drawn picture or a film upside down, in pieces or in "
    "negative, and not a film as those of the training.",
    APPEARANCE: "Distance of its coarse grey levels and of its contrast at four scales from those of the training's "
    "films: the root of the mean square, in standard deviations along the directions in which films differ.",
}
"""What each column of `Familiarity.forward` measures, in its order."""

UNLIKE = 1000.0
"""Every measure of an image without contrast, which nothing can be told of: more than any maximum."""

CHANNELS = (16, 32, 48, 64)
FEATURES = 48
GRID = 8
"""Side of the grid of coarse grey levels."""

SCALES = 4
SCALES_GRID = 4
"""Scales of contrast, each twice as coarse as the one before, and side of the grid that each is averaged on."""

FAINTEST = 1e-6
"""Contrast, as a variance of x, below which nothing is told apart."""


class Familiarity(nn.Module):
    """A network that tells films from others, and the distance from what films look like.

    The network knows what it was shown; the distance holds for anything else that does not look like a film.

    Args:
        size: side S of x in pixels.
    """

    mean: Tensor
    whitening: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for outputs in encoder_channels(CHANNELS, size):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        self.convolutions = nn.Sequential(*layers)
        self.judge = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(inputs * COARSEST_SIDE**2, FEATURES),
            nn.ReLU(),
            nn.Linear(FEATURES, 1),
        )
        self.size = size
        length = GRID**2 + SCALES * SCALES_GRID**2
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("whitening", torch.eye(length))

    def forward(self, x: Tensor) -> Tensor:
        """Measures [B, K] of x: [B, 1, S, S] in [-1, 1], in the order of `MEASURES`; higher is less alike."""
        whitened = (appearance(x) - self.mean) @ self.whitening
        measures = torch.stack([self.foreignness(x), (whitened * whitened).mean(1).sqrt()], 1)
        contrast = x.amax((1, 2, 3)) - x.amin((1, 2, 3))
        # A comparison with NaN is false: what is not a number is unlike.
        known = (contrast > 0)[:, None] & (measures < UNLIKE)
        return torch.where(known, measures, torch.full_like(measures, UNLIKE))

    def foreignness(self, x: Tensor) -> Tensor:
        """Log-odds [B] that x: [B, 1, S, S] is no film."""
        logit: Tensor = self.judge(self.convolutions(x))
        return logit.squeeze(1)


def appearance(x: Tensor) -> Tensor:
    """Coarse grey levels and contrasts [B, D] of x: [B, 1, S, S].

    The contrast of a scale is the logarithm of the mean square of what a smoothing over 3x3 pixels takes away.
    """
    parts = [_means(x, GRID)]
    picture = x
    for scale in range(SCALES):
        smooth = F.avg_pool2d(picture, 3, 1, 1, count_include_pad=False)
        detail = picture - smooth
        parts.append(torch.log(_means(detail * detail, SCALES_GRID) + FAINTEST))
        if scale < SCALES - 1:
            picture = F.avg_pool2d(smooth, 2) if smooth.shape[-1] > SCALES_GRID else smooth
    return torch.cat(parts, 1)


def _means(picture: Tensor, grid: int) -> Tensor:
    """Means [B, grid * grid] over the cells of a grid; a picture smaller than the grid is taken as it is, repeated."""
    side = picture.shape[-1]
    if side < grid:
        picture = picture.repeat_interleave(grid // side, 2).repeat_interleave(grid // side, 3)
        side = picture.shape[-1]
    return F.avg_pool2d(picture, side // grid).flatten(1)
