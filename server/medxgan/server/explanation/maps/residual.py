"""The residual map: what the image itself has over its negative realization, where the generator agrees.

The difference map is as blurred as the reconstruction, and the image's residual to the negative realization holds all
that the generator can't draw. Where both have the same sign, both say "pathology".
"""

import numpy as np

from medxgan.server.engine.port import FloatArray
from medxgan.server.maps.difference import difference_map


def residual_map(original: FloatArray, reconstruction: FloatArray, negative_realization: FloatArray) -> FloatArray:
    """|residual| times |difference| with their sign where they share it, else 0; both smoothed first.

    Args:
        original: [S, S] in [-1, 1], x.
        reconstruction: [S, S] in [-1, 1].
        negative_realization: [S, S] in [-1, 1].

    Returns:
        [S, S] in [-4, 4].
    """
    residual = original - negative_realization
    return agreement(residual, difference_map(reconstruction, negative_realization)).astype(np.float32)


def agreement(residual: FloatArray, difference: FloatArray) -> FloatArray:
    """The product of both, smoothed, with their sign where they share it, else 0: [S, S]."""
    window = smoothing_window(len(residual))
    residual, difference = box_mean(residual, window), box_mean(difference, window)
    product = residual * difference
    return np.where(product > 0, np.sign(difference) * product, 0)


def smoothing_window(side: int) -> int:
    """The odd number of pixels nearest to a twelfth of the side, at least 3: 5 for 64 pixels."""
    return max(3, 2 * (side // 24) + 1)


def box_mean(image: FloatArray, window: int) -> FloatArray:
    """The mean [S, S] over a window around each pixel of [S, S]; beyond the border there is 0."""
    padded = np.pad(image, window // 2)
    for axis in (0, 1):
        padded = np.lib.stride_tricks.sliding_window_view(padded, window, axis).mean(-1)
    return padded
