"""The applied negative: the image itself, less what the pathology adds."""

import numpy as np

from medxgan.server.engine.port import FloatArray
from medxgan.server.maps.difference import difference_map


def applied_negative(original: FloatArray, reconstruction: FloatArray, negative_realization: FloatArray) -> FloatArray:
    """X - (G(z1, z2) - G(z1, 0)), clipped to [-1, 1].

    All the detail that the generator can't draw stays, so that what the classifier says of it tests the difference map
    and not the generator's blur.

    Args:
        original: [S, S] in [-1, 1], x.
        reconstruction: [S, S] in [-1, 1].
        negative_realization: [S, S] in [-1, 1].
    """
    clipped: FloatArray = np.clip(original - difference_map(reconstruction, negative_realization), -1, 1)
    return clipped
