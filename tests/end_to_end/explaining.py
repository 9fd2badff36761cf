"""What is asked of a server of the tiny bundle, and the maps that come of it."""

import io

import numpy as np
from PIL import Image as PillowImage

from medxgan.v1.bundle_pb2 import DATA_TYPE_FLOAT32
from medxgan.v1.explanation_pb2 import (
    MAP_KIND_COLORIZED,
    MAP_KIND_DIFFERENCE,
    MAP_KIND_NEGATIVE_REALIZATION,
    MAP_KIND_ORIGINAL,
    MAP_KIND_RECONSTRUCTION,
    ExplainResponse,
    ExplainSettings,
    InversionSettings,
    Tensor,
)

SIZE = 32
"""Of x, and of the maps."""
RANGES = {
    MAP_KIND_ORIGINAL: (-1, 1),
    MAP_KIND_RECONSTRUCTION: (-1, 1),
    MAP_KIND_NEGATIVE_REALIZATION: (-1, 1),
    MAP_KIND_DIFFERENCE: (-2, 2),
    MAP_KIND_COLORIZED: (0, 1),
}
"""Of the maps that come where none are asked for."""


def png(levels: np.ndarray) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(levels).save(file, "PNG")
    return file.getvalue()


def inverting(**settings: float) -> ExplainSettings:
    """Settings of the inversion."""
    return ExplainSettings(inversion=InversionSettings(**settings))


def array(tensor: Tensor) -> np.ndarray:
    assert tensor.data_type == DATA_TYPE_FLOAT32
    return np.frombuffer(tensor.data, "<f4").reshape(tensor.shape)


def arrays(response: ExplainResponse) -> list[np.ndarray]:
    return [array(map_.tensor) for map_ in response.maps]
