"""Random changes that keep the label, so that D and C can't be won over by one pixel in one place."""

import torch
import torch.nn.functional as F
from torch import Tensor


def mirror(*images: Tensor) -> tuple[Tensor, ...]:
    """Flip left and right, the same rows [B, ...] of every tensor, half of the time."""
    flip = torch.rand(len(images[0]), 1, 1, 1, device=images[0].device) < 0.5
    return tuple(torch.where(flip, image.flip(3), image) for image in images)


def shift(x: Tensor, pixels: int) -> Tensor:
    """Shift the whole batch by up to `pixels` along each axis; what comes in repeats the border."""
    if pixels == 0:
        return x
    size = x.shape[-1]
    padded = F.pad(x, (pixels,) * 4, mode="replicate")
    top, left = (int(torch.randint(0, 2 * pixels + 1, ()).item()) for _ in range(2))
    return padded[:, :, top : top + size, left : left + size]


def dim(x: Tensor, strength: float = 0.15) -> Tensor:
    """Scale the brightness of each row of x in [-1, 1] by up to `strength` either way, black staying black."""
    return (x + 1) * (1 + strength * (2 * torch.rand(len(x), 1, 1, 1, device=x.device) - 1)) - 1


def noise(x: Tensor, deviation: float) -> Tensor:
    """Add Gaussian noise."""
    return x + deviation * torch.randn_like(x)


def brighten(x: Tensor, strength: float = 0.15) -> Tensor:
    """Add up to `strength` either way to each row."""
    return x + strength * (2 * torch.rand(len(x), 1, 1, 1, device=x.device) - 1)
