"""Average precision of a map against the lesion mask, pixel by pixel."""

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import binary_average_precision


def average_precision(salience: NDArray[np.float64], mask: NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve of "this pixel is lesion", over all thresholds of the saliency.

    Source: torchmetrics' `binary_average_precision`; a random map has about the mask's share of the image.

    Args:
        salience: [S, S], not negative.
        mask: [S, S], True on the lesion; not empty.
    """
    highest = salience.max()
    # torchmetrics takes values outside [0, 1] for logits.
    scaled = salience / highest if highest > 0 else salience
    return float(binary_average_precision(torch.from_numpy(scaled.ravel()), torch.from_numpy(mask.ravel()).long()))
