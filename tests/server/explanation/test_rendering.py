"""How maps and pictures cross the wire: every kind in both forms."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medxgan.server.explanation.explanation import Completeness, MapValues, TrajectoryFrame
from medxgan.server.explanation.rendering import notes_on_maps, render_frame, render_map
from medxgan.server.explanation.scores import Score
from medxgan.server.explanation.table import MAPS
from medxgan.v1 import explanation_pb2 as pb
from medxgan.v1.bundle_pb2 import DATA_TYPE_FLOAT32

SIDE = 8


def made(kind: int) -> MapValues:
    """Values such as the kind may have."""
    method = MAPS[kind]
    low, high = method.range or (-3.0, 1.0)
    shape = (SIDE, SIDE) if method.channels == 1 else (SIDE, SIDE, method.channels)
    values = np.random.default_rng(kind).uniform(low, high, shape).astype(np.float32)
    completeness = Completeness(1.5, 1.25) if kind == pb.MAP_KIND_INTEGRATED_GRADIENTS else None
    return MapValues(values, completeness, 0.25)


def expected_range(kind: int) -> tuple[float, float]:
    largest = float(np.abs(made(kind).values).max())
    return MAPS[kind].range or (-largest, largest)


@pytest.mark.parametrize("kind", MAPS, ids=pb.MapKind.Name)
@pytest.mark.parametrize("form", [pb.MAP_FORM_TENSOR, pb.MAP_FORM_UNSPECIFIED], ids=pb.MapForm.Name)
def test_a_tensor_holds_the_values_and_states_their_range(kind, form):
    rendered = render_map(kind, made(kind), form)
    assert rendered.kind == kind
    assert rendered.tensor.data_type == DATA_TYPE_FLOAT32
    found = np.frombuffer(rendered.tensor.data, "<f4").reshape(rendered.tensor.shape)
    np.testing.assert_array_equal(found, made(kind).values)
    assert (rendered.range.minimum, rendered.range.maximum) == expected_range(kind)
    assert rendered.elapsed_ms == 250


@pytest.mark.parametrize("kind", MAPS, ids=pb.MapKind.Name)
def test_a_png_holds_the_range_in_256_levels(kind):
    values, (low, high) = made(kind).values, expected_range(kind)
    rendered = render_map(kind, made(kind), pb.MAP_FORM_PNG)
    assert rendered.WhichOneof("form") == "png"
    assert (rendered.range.minimum, rendered.range.maximum) == (low, high)
    with Image.open(io.BytesIO(rendered.png)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB" if values.ndim == 3 else "L")
        levels = np.asarray(image, np.float32)
    np.testing.assert_allclose(low + levels / 255 * (high - low), values, atol=(high - low) / 255 / 2 + 1e-6)


@pytest.mark.parametrize("value", [0.0, np.inf])
def test_a_map_without_a_magnitude_of_its_own_still_has_a_range(value):
    values = MapValues(np.full((SIDE, SIDE), value, np.float32), None, 0.0)
    rendered = render_map(pb.MAP_KIND_GRADIENT, values, pb.MAP_FORM_PNG)
    assert (rendered.range.minimum, rendered.range.maximum) == (-1, 1)
    with Image.open(io.BytesIO(rendered.png)) as image:
        assert set(np.asarray(image).ravel().tolist()) == {128 if value == 0 else 255}


def test_what_is_no_number_is_drawn_as_the_middle_and_counts_for_nothing_in_the_range():
    """A classifier's gradient may divide 0 by 0."""
    values = MapValues(np.array([[np.nan, -2.0], [1.0, np.inf]], np.float32), None, 0.0)
    rendered = render_map(pb.MAP_KIND_GRADIENT, values, pb.MAP_FORM_PNG)
    assert (rendered.range.minimum, rendered.range.maximum) == (-2, 2)
    with Image.open(io.BytesIO(rendered.png)) as image:
        assert np.asarray(image).tolist() == [[128, 0], [191, 255]]
    kinds = {pb.MAP_KIND_GRADIENT: values, pb.MAP_KIND_GRAD_CAM: made(pb.MAP_KIND_GRAD_CAM)}
    (note,) = notes_on_maps(kinds)
    assert note == "gradient holds values that are no finite numbers; a PNG shows NaN as the middle of its range"


def test_what_is_beyond_the_range_of_a_png_is_cut_off():
    values = MapValues(np.array([[-5.0, 5.0]], np.float32), None, 0.0)
    with Image.open(io.BytesIO(render_map(pb.MAP_KIND_DIFFERENCE, values, pb.MAP_FORM_PNG).png)) as image:
        assert np.asarray(image).tolist() == [[0, 255]]


def test_completeness_is_that_of_integrals_alone():
    integral = render_map(pb.MAP_KIND_INTEGRATED_GRADIENTS, made(pb.MAP_KIND_INTEGRATED_GRADIENTS), pb.MAP_FORM_PNG)
    completeness: Any = integral.completeness
    assert (completeness.attributed, completeness.change, completeness.error) == (1.5, 1.25, 0.25)
    assert not render_map(pb.MAP_KIND_GRADIENT, made(pb.MAP_KIND_GRADIENT), pb.MAP_FORM_PNG).HasField("completeness")


def test_a_frame_is_drawn_as_a_picture_is():
    picture = np.linspace(-1, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    frame = TrajectoryFrame(0.25, Score(0.75, True), picture)
    tensor = render_frame(frame, pb.MAP_FORM_UNSPECIFIED)
    assert (tensor.position, tensor.score.probability, tensor.score.positive) == (0.25, 0.75, True)
    np.testing.assert_array_equal(np.frombuffer(tensor.tensor.data, "<f4").reshape(SIDE, SIDE), picture)
    with Image.open(io.BytesIO(render_frame(frame, pb.MAP_FORM_PNG).png)) as image:
        np.testing.assert_allclose(np.asarray(image) / 127.5 - 1, picture, atol=1 / 255 + 1e-6)
