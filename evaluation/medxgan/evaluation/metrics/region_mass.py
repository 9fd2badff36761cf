"""How much of a map falls on a region, against how much would by chance."""

import numpy as np
from numpy.typing import NDArray

from medxgan.evaluation.saliency import FloatArray


def mass_over_area(values: FloatArray, region: NDArray[np.bool_]) -> float:
    """Share of the map's absolute mass on the region, divided by the region's share of the area.

    1 is what a map that knows nothing of the region has; an empty map, which points nowhere, counts as that.

    Args:
        values: [S, S], any unit and sign.
        region: [S, S], not empty.
    """
    mass = np.abs(values.astype(np.float64))
    total = mass.sum()
    return float(mass[region].sum() / total / region.mean()) if total > 0 else 1.0
