"""From a map to an order of pixels: the same way for every method and every baseline.

Methods differ in sign and grain: a gradient flickers from pixel to pixel where Grad-CAM is smooth. So that the ranking
compares where they point and not how they are drawn, each map is taken by its magnitude and averaged over a small
window before its pixels are put in order.
"""

import numpy as np
from numpy.typing import NDArray

from medxgan.server.maps.residual import smoothing_window

FloatArray = NDArray[np.float32]


def saliency(values: FloatArray) -> NDArray[np.float64]:
    """Magnitude of a map, averaged over a window; at the border, over the window's part inside.

    Args:
        values: [S, S], any unit.

    Returns:
        [S, S], not negative.
    """
    side = len(values)
    reach = smoothing_window(side) // 2
    positions = np.arange(side)
    near = (np.abs(positions[:, None] - positions[None, :]) <= reach).astype(np.float64)
    mean = near / near.sum(1, keepdims=True)
    averaged: NDArray[np.float64] = mean @ np.abs(values.astype(np.float64)) @ mean.T
    return averaged


def ranked_pixels(salience: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.intp]:
    """Flat indices [S * S] of the pixels, most salient first; equal ones in random order.

    Maps that are cut at zero have many equal pixels; in reading order, their first would always be the top left one.
    """
    shuffled = random.permutation(salience.size)
    order: NDArray[np.intp] = shuffled[np.argsort(-salience.ravel()[shuffled], kind="stable")]
    return order
