"""Padding left out of the contrast of a film at the size of x.

A model's OPEN graph takes its window between two percentiles of all pixels of x, and knows no padding. Here the window
of the pixels that are none is taken first. Levels beyond it are cut off, which x does in any case, and padding is given
its dark end. Then darkest pixels and brightest are as many as the graph's percentiles reach to, and it takes the
same window of all pixels. The one price: where padding is a share p of x, and the upper percentile 99.5, p times 0.5 %
of the pixels of x, the next brightest, are white as well.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Percentiles:
    """Percentiles (0 to 100) of the pixels of x that become -1 and +1."""

    lower: float
    upper: float


def without_padding(
    levels: FloatArray, picture: NDArray[np.bool_], inverted: bool, percentiles: Percentiles
) -> FloatArray:
    """Levels of which OPEN makes the x that the picture alone has, padding being black.

    Args:
        levels: [S, S] grey levels.
        picture: [S, S] False where a pixel is padding; at least one is not.
        inverted: whether a high level means dark.
        percentiles: that OPEN takes of all pixels.

    Returns:
        [S, S] grey levels.
    """
    bright = -levels if inverted else levels
    darkest, brightest = np.percentile(bright[picture], (percentiles.lower, percentiles.upper)).astype(np.float32)
    held = np.where(picture, bright.clip(darkest, brightest), darkest).ravel()
    order = np.argsort(held, kind="stable")
    last = held.size - 1
    # OPEN interpolates between two ranks: both have to be at the end of the window.
    held[order[: int(percentiles.lower / 100 * last) + 2]] = darkest
    held[order[int(percentiles.upper / 100 * last) :]] = brightest
    result: FloatArray = held.reshape(levels.shape)
    return -result if inverted else result
