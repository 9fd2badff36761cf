"""Whether a map points at the lesion that people marked, or at a region of another kind.

What takes a map raises NotFiniteError where a value of it is no finite number.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from skimage.measure import label
from torchmetrics.functional.classification import binary_average_precision

from medxgan.evaluation.saliency import Salience, check_finite
from medxgan.server.engine.port import FloatArray

HIT_SHARE = 0.25
"""A lesion is hit where the region covers at least this share of it."""

Mask = NDArray[np.bool_]


def average_precision(salience: Salience, mask: Mask) -> float:
    """Area under the precision-recall curve of "this pixel is lesion", over all thresholds of the saliency.

    Source: torchmetrics' `binary_average_precision`; a random map has about the mask's share of the image.

    Args:
        salience: [S, S], not negative.
        mask: [S, S], True on the lesion; not empty.
    """
    check_finite(salience)
    highest = salience.max()
    # torchmetrics takes values outside [0, 1] for logits.
    scaled = salience / highest if highest > 0 else salience
    return float(binary_average_precision(torch.from_numpy(scaled.ravel()), torch.from_numpy(mask.ravel()).long()))


def pointing_game(salience: Salience, mask: Mask) -> float:
    """1 where the most salient pixel lies inside the mask, else 0; of several equal ones, the share that does.

    Source: Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016, section 4.1; without margin.

    Args:
        salience: [S, S], not negative.
        mask: [S, S].
    """
    check_finite(salience)
    return float(mask[salience == salience.max()].mean())


def top_region(order: NDArray[np.intp], mask: Mask) -> Mask:
    """[S, S] True on the k most salient pixels, k being the mask's area: no threshold has to be chosen.

    Args:
        order: [S * S] flat indices, most salient first.
        mask: [S, S].
    """
    region = np.zeros(mask.size, np.bool_)
    region[order[: int(mask.sum())]] = True
    return region.reshape(mask.shape)


def otsu_region(salience: Salience) -> Mask:
    """[S, S] True where the saliency is above the threshold that parts it best in two; empty for an even map.

    Source: Otsu, A threshold selection method from gray-level histograms, 1979, by scikit-image. The threshold is the
    map's own, so that a map which covers too much or too little is found out.

    Args:
        salience: [S, S], not negative.
    """
    check_finite(salience)
    if salience.min() == salience.max():
        return np.zeros(salience.shape, np.bool_)
    region: Mask = salience > threshold_otsu(salience)
    return region


def dice(region: Mask, mask: Mask) -> float:
    """Dice's coefficient, 0 to 1, of two regions [S, S] that are not both empty (Dice 1945)."""
    return float(2 * (region & mask).sum() / (region.sum() + mask.sum()))


def intersection_over_union(region: Mask, mask: Mask) -> float:
    """Intersection over union, 0 to 1, of two regions [S, S] that are not both empty (Jaccard 1912)."""
    return float((region & mask).sum() / (region | mask).sum())


def separate_parts(mask: Mask) -> list[Mask]:
    """The separate parts of a mask [S, S], each [S, S]; pixels that touch by a corner belong together."""
    numbered, count = label(mask, connectivity=2, return_num=True)
    return [numbered == number for number in range(1, count + 1)]


def lesion_recall(region: Mask, parts: Sequence[Mask]) -> float:
    """Share of the lesions of which the region covers at least a quarter.

    A map that sees only the largest lesion can have a good average precision; here it counts as one of several.

    Args:
        region: [S, S] the most salient pixels, as many as all the lesions together have.
        parts: [S, S] each, from `separate_parts`; at least one.
    """
    return float(np.mean([(region & part).sum() >= HIT_SHARE * part.sum() for part in parts]))


def mass_over_area(values: FloatArray, region: Mask) -> float:
    """Share of the map's absolute mass on the region, divided by the region's share of the area.

    1 is what a map that knows nothing of the region has; an empty map, which points nowhere, counts as that.

    Args:
        values: [S, S], any unit and sign.
        region: [S, S], not empty.
    """
    check_finite(values)
    mass = np.abs(values.astype(np.float64))
    total = mass.sum()
    return float(mass[region].sum() / total / region.mean()) if total > 0 else 1.0
