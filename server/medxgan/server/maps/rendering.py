"""A map of an explanation in the form that the caller asked for."""

import io

import numpy as np
from PIL import Image

from medxgan.server.engine.port import FloatArray
from medxgan.server.explanation import Explanation
from medxgan.server.maps.colorized import colorized_map
from medxgan.server.maps.difference import difference_map
from medxgan.v1 import bundle_pb2, explanation_pb2
from medxgan.v1.explanation_pb2 import MapForm, MapKind

RANGES: dict[MapKind, tuple[float, float]] = {
    explanation_pb2.MAP_KIND_ORIGINAL: (-1, 1),
    explanation_pb2.MAP_KIND_RECONSTRUCTION: (-1, 1),
    explanation_pb2.MAP_KIND_NEGATIVE_REALIZATION: (-1, 1),
    explanation_pb2.MAP_KIND_DIFFERENCE: (-2, 2),
    explanation_pb2.MAP_KIND_COLORIZED: (0, 1),
}
"""The range of each kind, which a PNG puts on 0 to 255."""


def render(explanation: Explanation, kind: MapKind, form: MapForm) -> explanation_pb2.Map:
    """Make one map.

    Args:
        explanation: what the map is of.
        kind: which map.
        form: float32 tensor, also where unspecified, or PNG.
    """
    values = _values(explanation, kind)
    if form == explanation_pb2.MAP_FORM_PNG:
        return explanation_pb2.Map(kind=kind, png=_png(values, *RANGES[kind]))
    return explanation_pb2.Map(kind=kind, tensor=tensor(values))


def tensor(values: FloatArray) -> explanation_pb2.Tensor:
    """An array as it crosses the wire: row-major, little-endian float32."""
    return explanation_pb2.Tensor(
        shape=values.shape,
        data_type=bundle_pb2.DATA_TYPE_FLOAT32,
        data=values.astype("<f4").tobytes(),
    )


def _values(explanation: Explanation, kind: MapKind) -> FloatArray:
    match kind:
        case explanation_pb2.MAP_KIND_ORIGINAL:
            return explanation.original
        case explanation_pb2.MAP_KIND_RECONSTRUCTION:
            return explanation.reconstruction
        case explanation_pb2.MAP_KIND_NEGATIVE_REALIZATION:
            return explanation.negative_realization
        case explanation_pb2.MAP_KIND_DIFFERENCE:
            return difference_map(explanation.reconstruction, explanation.negative_realization)
        case explanation_pb2.MAP_KIND_COLORIZED:
            difference = difference_map(explanation.reconstruction, explanation.negative_realization)
            return colorized_map(explanation.original, difference)
        case _:
            raise ValueError(f"no map of kind {kind}")


def _png(values: FloatArray, low: float, high: float) -> bytes:
    levels = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, format="PNG")
    return file.getvalue()
