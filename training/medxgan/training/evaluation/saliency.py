"""The maps that are held against lesion masks, each [N, 1, S, S] and not negative, as the server serves them.

The server's maps are NumPy, one image at a time; these are the same in PyTorch, and a test compares the two.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from medxgan.training.evaluation.explained import Explained


def saliencies(explained: Explained) -> Mapping[str, Tensor]:
    """The difference map, the residual map and, as a baseline, the image's own brightness; all smoothed alike."""
    maps = {
        "difference": explained.difference.abs(),
        "residual": residual_magnitude(explained.x, explained.realizations.negative, explained.difference),
        "intensity": explained.x + 1,
    }
    return {name: _window_mean(values, beyond_border=False) for name, values in maps.items()}


def residual_magnitude(x: Tensor, negative: Tensor, difference: Tensor) -> Tensor:
    """|x - G(z1, 0)| times |difference| where both, smoothed, have the same sign, else 0.

    Args:
        x: [N, 1, S, S] in [-1, 1].
        negative: [N, 1, S, S] in [-1, 1], G(z1, 0).
        difference: [N, 1, S, S] in [-2, 2], G(z1, z2) - G(z1, 0).

    Returns:
        [N, 1, S, S] in [0, 4].
    """
    residual = _window_mean(x - negative, beyond_border=True)
    return F.relu(residual * _window_mean(difference, beyond_border=True))


def smoothing_window(side: int) -> int:
    """The odd number of pixels nearest to a twelfth of the side, at least 3: 5 for 64 pixels."""
    return max(3, 2 * (side // 24) + 1)


def _window_mean(maps: Tensor, *, beyond_border: bool) -> Tensor:
    """The mean over a window around each pixel; at the border with zeros beyond it, or over the part inside."""
    window = smoothing_window(maps.shape[-1])
    return F.avg_pool2d(maps, window, 1, window // 2, count_include_pad=beyond_border)
