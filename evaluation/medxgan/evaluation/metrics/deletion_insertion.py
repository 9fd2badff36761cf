"""Deletion and insertion: what becomes of the score while pixels vanish, or appear, in the order of the map.

Source: Petsiuk et al., RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC 2018, section 4.2.
"""

import numpy as np
from numpy.typing import NDArray

from medxgan.server.engine.port import FloatArray

SHARES = 32
"""Equal shares of the pixels that go, or come, one after the other."""

DELETED_LEVEL = -1.0
"""Grey level of a deleted pixel: the darkest."""

BLUR_DEVIATION = 1 / 8
"""Deviation of the Gaussian blur that insertion starts from, as a share of the image's side."""


def deletion_images(x: FloatArray, order: NDArray[np.intp]) -> FloatArray:
    """[SHARES + 1, S, S]: x: [S, S], then with ever more of the most salient pixels at the darkest level."""
    return np.where(_taken(order, x.shape), np.float32(DELETED_LEVEL), x)


def insertion_images(x: FloatArray, order: NDArray[np.intp]) -> FloatArray:
    """[SHARES + 1, S, S]: x: [S, S] blurred, then with ever more of the most salient pixels as they are in x."""
    return np.where(_taken(order, x.shape), x, blurred(x))


def blurred(x: FloatArray) -> FloatArray:
    """x: [S, S] under a Gaussian whose weights outside of the image are left out."""
    side = len(x)
    positions = np.arange(side)
    distance = (positions[:, None] - positions[None, :]) / (BLUR_DEVIATION * side)
    weights = np.exp(-0.5 * np.square(distance))
    weights /= weights.sum(1, keepdims=True)
    return (weights @ x @ weights.T).astype(np.float32)


def area_under_curve(probabilities: NDArray[np.float64]) -> float:
    """Area by trapezoids under [SHARES + 1] probabilities, the share of pixels running from 0 to 1: in [0, 1]."""
    return float(np.trapezoid(probabilities, dx=1 / SHARES))


def _taken(order: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """[SHARES + 1, S, S] True where a pixel is among the first k shares."""
    share = np.empty(order.size, np.intp)
    share[order] = np.arange(order.size) * SHARES // order.size
    return share.reshape(shape) < np.arange(SHARES + 1)[:, None, None]
