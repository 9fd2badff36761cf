"""Random changes of how a film was taken: window, exposure, sharpness, noise, shading and border.

A classifier that is trained through them can't go by what tells one machine, projection or hospital from another, as
disease changes none of these. Each function changes every row of x [B, 1, S, S] in [-1, 1] on its own, keeps its shape
and range, and is harmless at strength 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from medxgan.training.processes import drawn_rows

WINDOW = 0.18
"""Largest change of either end of the window, as a share of the grey scale."""

GAMMA = 0.5
"""Largest natural logarithm of the exponent that grey levels are raised to, either way."""

SHADING = 0.15
"""Largest level of a smooth field that is added, as of a tilted grid or a thicker side of the chest."""

SHARPENING, SMOOTHING = 0.8, 1.0
"""Shares of the fine detail that are added at most, and taken away at most."""

NOISE = 0.08
"""Largest deviation of the noise, half of which is of the size of a pixel and half of three."""

BORDER = 0.09
"""Largest width of a blank border on each side, as a share of the image's side."""


def restyle(x: Tensor, strength: float) -> Tensor:
    """Every change below, one after the other.

    Args:
        x: [B, 1, S, S] in [-1, 1].
        strength: 0 leaves x as it is, 1 changes it up to the limits at the top of this file.
    """
    if strength == 0:
        return x
    x = shade(expose(x, strength), strength)
    return blank_border(grain(sharpen(x, strength), strength), strength)


def expose(x: Tensor, strength: float) -> Tensor:
    """Another window and another film curve: (levels - low) / (high - low), raised to some power."""
    low, high, power = (strength * _either_way(x) for _ in range(3))
    low, high = WINDOW * low, 1 + WINDOW * high
    level = (((x + 1) / 2 - low) / (high - low)).clamp(1e-4, 1)
    return 2 * level ** torch.exp(GAMMA * power) - 1


def shade(x: Tensor, strength: float) -> Tensor:
    """Brighter here and darker there, no finer than a third of the picture."""
    field = 2 * drawn_rows(torch.rand, len(x), 1, 3, 3, device=x.device) - 1
    smooth = F.interpolate(field, x.shape[2:], mode="bilinear", align_corners=True)
    return (x + SHADING * strength * smooth).clamp(-1, 1)


def sharpen(x: Tensor, strength: float) -> Tensor:
    """More or less of what is finer than five pixels."""
    smooth = x
    for _ in range(2):
        smooth = F.avg_pool2d(F.pad(smooth, (1,) * 4, mode="replicate"), 3, 1)
    share = _either_way(x)
    amount = strength * torch.where(share > 0, SHARPENING * share, SMOOTHING * share)
    return (x + amount * (x - smooth)).clamp(-1, 1)


def grain(x: Tensor, strength: float) -> Tensor:
    """Noise of two sizes, as much as the row draws."""
    fine, coarse = (drawn_rows(torch.randn, *x.shape, device=x.device) for _ in range(2))
    coarse = 3 * F.avg_pool2d(F.pad(coarse, (1,) * 4, mode="replicate"), 3, 1)
    deviation = NOISE * strength * drawn_rows(torch.rand, len(x), 1, 1, 1, device=x.device)
    return (x + deviation * (fine + coarse) / 2**0.5).clamp(-1, 1)


def blank_border(x: Tensor, strength: float) -> Tensor:
    """Half of the rows lose what lies at the border, where marks and collimators are, to one level."""
    rows, side = len(x), x.shape[-1]
    width = BORDER * strength * drawn_rows(torch.rand, rows, 4, device=x.device)
    width = width * (drawn_rows(torch.rand, rows, 1, device=x.device) < 0.5)
    place = (torch.arange(side, device=x.device) + 0.5) / side
    rows_kept = (place > width[:, :1]) & (place < 1 - width[:, 1:2])
    columns_kept = (place > width[:, 2:3]) & (place < 1 - width[:, 3:])
    kept = rows_kept[:, None, :, None] & columns_kept[:, None, None, :]
    level = 2 * drawn_rows(torch.rand, rows, 1, 1, 1, device=x.device) ** 3 - 1
    return torch.where(kept, x, level)


def _either_way(x: Tensor) -> Tensor:
    """[B, 1, 1, 1] between -1 and 1."""
    return 2 * drawn_rows(torch.rand, len(x), 1, 1, 1, device=x.device) - 1
