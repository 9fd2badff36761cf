"""A map of an explanation in the form that the caller asked for."""

import io

import numpy as np
from PIL import Image

from medxgan.server.engine.port import FloatArray
from medxgan.server.explanation import Explanation, TrajectoryFrame
from medxgan.server.maps.colorized import colorized_map
from medxgan.server.maps.difference import difference_map
from medxgan.server.maps.residual import residual_map
from medxgan.v1 import bundle_pb2, explanation_pb2
from medxgan.v1.explanation_pb2 import MapForm, MapKind

RANGES: dict[MapKind, tuple[float, float]] = {
    explanation_pb2.MAP_KIND_ORIGINAL: (-1, 1),
    explanation_pb2.MAP_KIND_RECONSTRUCTION: (-1, 1),
    explanation_pb2.MAP_KIND_NEGATIVE_REALIZATION: (-1, 1),
    explanation_pb2.MAP_KIND_DIFFERENCE: (-2, 2),
    explanation_pb2.MAP_KIND_COLORIZED: (0, 1),
    explanation_pb2.MAP_KIND_APPLIED_NEGATIVE: (-1, 1),
    explanation_pb2.MAP_KIND_RESIDUAL: (-4, 4),
    explanation_pb2.MAP_KIND_UNCERTAINTY: (0, 2),
    explanation_pb2.MAP_KIND_POSITIVE_REALIZATION: (-1, 1),
}
"""The range of each kind, which a PNG puts on 0 to 255."""


def render(explanation: Explanation, kind: MapKind, form: MapForm) -> explanation_pb2.Map:
    """Make one map.

    Args:
        explanation: what the map is of; for the uncertainty it has restarts, for the positive realization it has that.
        kind: which map.
        form: float32 tensor, also where unspecified, or PNG.
    """
    values = _values(explanation, kind)
    if form == explanation_pb2.MAP_FORM_PNG:
        return explanation_pb2.Map(kind=kind, png=_png(values, *RANGES[kind]))
    return explanation_pb2.Map(kind=kind, tensor=tensor(values))


def render_frame(frame: TrajectoryFrame, form: MapForm) -> explanation_pb2.TrajectoryFrame:
    """Make one picture of a trajectory, in a form as a map has it."""
    rendered = explanation_pb2.TrajectoryFrame(position=frame.position, score=frame.score)
    if form == explanation_pb2.MAP_FORM_PNG:
        rendered.png = _png(frame.picture, -1, 1)
    else:
        rendered.tensor.CopyFrom(tensor(frame.picture))
    return rendered


def tensor(values: FloatArray) -> explanation_pb2.Tensor:
    """An array as it crosses the wire: row-major, little-endian float32."""
    return explanation_pb2.Tensor(
        shape=values.shape,
        data_type=bundle_pb2.DATA_TYPE_FLOAT32,
        data=values.astype("<f4").tobytes(),
    )


def _values(explanation: Explanation, kind: MapKind) -> FloatArray:
    explained, positive = explanation.explained, explanation.positive_realization
    match kind:
        case explanation_pb2.MAP_KIND_ORIGINAL:
            return explained.original
        case explanation_pb2.MAP_KIND_RECONSTRUCTION:
            return explained.reconstruction
        case explanation_pb2.MAP_KIND_NEGATIVE_REALIZATION:
            return explained.negative_realization
        case explanation_pb2.MAP_KIND_DIFFERENCE:
            return difference_map(explained.reconstruction, explained.negative_realization)
        case explanation_pb2.MAP_KIND_COLORIZED:
            difference = difference_map(explained.reconstruction, explained.negative_realization)
            return colorized_map(explained.original, difference)
        case explanation_pb2.MAP_KIND_APPLIED_NEGATIVE:
            return explained.applied_negative
        case explanation_pb2.MAP_KIND_RESIDUAL:
            return residual_map(explained.original, explained.reconstruction, explained.negative_realization)
        case explanation_pb2.MAP_KIND_UNCERTAINTY if explained.uncertainty is not None:
            return explained.uncertainty
        case explanation_pb2.MAP_KIND_POSITIVE_REALIZATION if positive is not None:
            return positive.picture
        case _:
            raise ValueError(f"this explanation has no map of kind {kind}")


def _png(values: FloatArray, low: float, high: float) -> bytes:
    levels = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, format="PNG")
    return file.getvalue()
