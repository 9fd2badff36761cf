"""Intersection over union of the lesion and as many of the most salient pixels."""

import numpy as np
from numpy.typing import NDArray


def top_region(order: NDArray[np.intp], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[S, S] True on the k most salient pixels, k being the mask's area: no threshold has to be chosen.

    Args:
        order: [S * S] flat indices, most salient first.
        mask: [S, S].
    """
    region = np.zeros(mask.size, np.bool_)
    region[order[: int(mask.sum())]] = True
    return region.reshape(mask.shape)


def intersection_over_union(region: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """Intersection over union, 0 to 1, of two regions [S, S] that are not both empty (Jaccard 1912)."""
    return float((region & mask).sum() / (region | mask).sum())
