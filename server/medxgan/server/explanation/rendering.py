"""Pictures and maps in the form in which they cross the wire."""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from medxgan.server.engine.port import FloatArray
from medxgan.server.explanation.explanation import MapValues, TrajectoryFrame
from medxgan.server.explanation.scores import Score
from medxgan.server.explanation.table import MAPS, map_name
from medxgan.v1 import bundle_pb2, explanation_pb2
from medxgan.v1.explanation_pb2 import MapForm, MapKind

GREY_LEVELS = (-1.0, 1.0)
"""The range of a picture."""


def render_map(kind: MapKind, made: MapValues, form: MapForm) -> explanation_pb2.Map:
    """Make one map ready for the wire.

    Args:
        kind: which map.
        made: its values.
        form: float32 tensor, also where unspecified, or PNG.
    """
    low, high = MAPS[kind].range or _symmetric_range(made.values)
    rendered = explanation_pb2.Map(
        kind=kind, range=bundle_pb2.Interval(minimum=low, maximum=high), elapsed_ms=1000 * made.seconds
    )
    if form == explanation_pb2.MAP_FORM_PNG:
        rendered.png = _png(made.values, low, high)
    else:
        rendered.tensor.CopyFrom(tensor(made.values))
    if made.completeness is not None:
        rendered.completeness.attributed = made.completeness.attributed
        rendered.completeness.change = made.completeness.change
        rendered.completeness.error = made.completeness.error
    return rendered


def notes_on_maps(maps: Mapping[MapKind, MapValues]) -> list[str]:
    """What a caller should know of maps, a sentence each."""
    return [
        f"{map_name(kind)} holds values that are no finite numbers; a PNG shows NaN as the middle of its range"
        for kind, made in maps.items()
        if not np.isfinite(made.values).all()
    ]


def render_frame(frame: TrajectoryFrame, form: MapForm) -> explanation_pb2.TrajectoryFrame:
    """Make one picture of a trajectory ready for the wire, in a form as a map has it."""
    rendered = explanation_pb2.TrajectoryFrame(
        position=frame.position,
        score=score_message(frame.score),
    )
    if form == explanation_pb2.MAP_FORM_PNG:
        rendered.png = _png(frame.picture, *GREY_LEVELS)
    else:
        rendered.tensor.CopyFrom(tensor(frame.picture))
    return rendered


def score_message(score: Score) -> explanation_pb2.Score:
    """A score as it crosses the wire."""
    return explanation_pb2.Score(probability=score.probability, positive=score.positive)


def tensor(values: FloatArray) -> explanation_pb2.Tensor:
    """An array as it crosses the wire: row-major, little-endian float32."""
    return explanation_pb2.Tensor(
        shape=values.shape,
        data_type=bundle_pb2.DATA_TYPE_FLOAT32,
        data=values.astype("<f4").tobytes(),
    )


def _symmetric_range(values: FloatArray) -> tuple[float, float]:
    """As far to both sides of 0 as the finite values go; a map of zeros has one too, so that it can be drawn."""
    largest = float(np.abs(values).max(initial=0.0, where=np.isfinite(values)))
    largest = largest if largest > 0 else 1.0
    return -largest, largest


def _png(values: FloatArray, low: float, high: float) -> bytes:
    places = np.nan_to_num((values.astype(np.float64) - low) / (high - low), nan=0.5, posinf=1.0, neginf=0.0)
    levels = np.rint(np.clip(places, 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, format="PNG")
    return file.getvalue()
