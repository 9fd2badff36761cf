"""The difference map: what the pathology adds to the picture."""

from medxgan.server.engine.port import FloatArray


def difference_map(reconstruction: FloatArray, negative_realization: FloatArray) -> FloatArray:
    """G(z1, z2) - G(z1, 0).

    Args:
        reconstruction: [S, S] in [-1, 1].
        negative_realization: [S, S] in [-1, 1].

    Returns:
        [S, S] in [-2, 2]; positive where the pathology adds intensity.
    """
    return reconstruction - negative_realization
