"""Random changes that keep the label, so that D and C can't be won over by one pixel in one place."""

import torch
import torch.nn.functional as F
from torch import Tensor

from medxgan.training.processes import drawn_rows


def mirror(*images: Tensor) -> tuple[Tensor, ...]:
    """Flip left and right, the same rows [B, ...] of every tensor, half of the time."""
    flip = drawn_rows(torch.rand, len(images[0]), 1, 1, 1, device=images[0].device) < 0.5
    return tuple(torch.where(flip, image.flip(3), image) for image in images)


def warp(*images: Tensor, turn: float, zoom: float) -> tuple[Tensor, ...]:
    """Turn, scale and shift each row, the same in every tensor: other patients, other positions in the scanner.

    Args:
        images: [B, 1, S, S] each; what comes in repeats the border.
        turn: largest angle either way, in degrees.
        zoom: largest change of scale either way, and shift along each axis, as a share of the side.
    """
    if turn == zoom == 0:
        return images
    rows, size = len(images[0]), images[0].shape[-1]
    drawn = 2 * drawn_rows(torch.rand, rows, 4, device=images[0].device) - 1
    angle, scale, (right, down) = drawn[:, 0].mul(turn).deg2rad(), 1 + zoom * drawn[:, 1], drawn[:, 2:].T * zoom
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    matrix = torch.stack([cosine, -sine, right, sine, cosine, down], 1).view(rows, 2, 3)
    grid = F.affine_grid(matrix, [rows, 1, size, size], align_corners=False)
    # Bicubic overshoots: no row becomes brighter or darker than it was.
    return tuple(
        F.grid_sample(image, grid, "bicubic", "border", align_corners=False).clamp(
            image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
        )
        for image in images
    )


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
    return (x + 1) * (1 + strength * (2 * drawn_rows(torch.rand, len(x), 1, 1, 1, device=x.device) - 1)) - 1


def blur(x: Tensor, strength: float) -> Tensor:
    """Mix up to `strength` of a copy smoothed over 5x5 pixels into each row: 0 leaves x, 1 may leave the copy alone.

    Fine texture comes and goes with the scanner, and a generator fools a classifier most easily by it; what is seen
    through the blur too is larger than that.
    """
    smooth = x
    for _ in range(2):
        smooth = F.avg_pool2d(F.pad(smooth, (1,) * 4, mode="replicate"), 3, 1)
    return x.lerp(smooth, strength * drawn_rows(torch.rand, len(x), 1, 1, 1, device=x.device))


def noise(x: Tensor, deviation: float) -> Tensor:
    """Add Gaussian noise."""
    return x + deviation * drawn_rows(torch.randn, *x.shape, device=x.device, dtype=x.dtype)


def brighten(x: Tensor, strength: float = 0.15) -> Tensor:
    """Add up to `strength` either way to each row."""
    return x + strength * (2 * drawn_rows(torch.rand, len(x), 1, 1, 1, device=x.device) - 1)
