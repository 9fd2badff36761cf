"""The uncertainty map: how much of the difference map is owed to where the inversion started."""

from collections.abc import Sequence

import numpy as np

from medxgan.server.engine.port import FloatArray


def uncertainty_map(differences: Sequence[FloatArray]) -> FloatArray:
    """The standard deviation of difference maps, pixel by pixel.

    Args:
        differences: of each restart: [S, S] in [-2, 2]; at least one.

    Returns:
        [S, S] in [0, 2]; 0 where all agree. The deviation of the restarts at hand, not an estimate for others.
    """
    deviation: FloatArray = np.stack(differences).std(axis=0, dtype=np.float64).astype(np.float32)
    return deviation
