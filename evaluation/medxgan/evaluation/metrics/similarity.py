"""How alike two maps are."""

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.regression import pearson_corrcoef

CONSTANT = 1e-6
"""A map whose deviation is below this share of its largest value has no contrast."""


def similarity(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Pearson's correlation over the pixels of two saliencies [S, S], -1 to 1.

    A map without contrast resembles nothing: 0, which is what a correlation with noise would be.
    """
    if _is_constant(one) or _is_constant(other):
        return 0.0
    # Scaled, so that maps in small units do not drown in the metric's own epsilon.
    first, second = (torch.from_numpy((each / each.max()).ravel()) for each in (one, other))
    return float(pearson_corrcoef(first, second))


def _is_constant(salience: NDArray[np.float64]) -> bool:
    return bool(salience.std() <= CONSTANT * salience.max())
