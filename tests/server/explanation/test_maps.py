"""The maps: their properties, and how they cross the wire."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from medxgan.server.explanation import (
    Explained,
    Explanation,
    PositiveRealization,
    Scores,
    Timing,
    TrajectoryFrame,
)
from medxgan.server.inversion import InversionOutcome, InversionSettings
from medxgan.server.maps import render
from medxgan.server.maps.applied_negative import applied_negative
from medxgan.server.maps.colorized import LEAST_FULL_COLOUR, colorized_map
from medxgan.server.maps.rendering import render_frame
from medxgan.server.maps.residual import residual_map
from medxgan.server.maps.uncertainty import uncertainty_map
from medxgan.v1 import explanation_pb2 as pb
from medxgan.v1.bundle_pb2 import DATA_TYPE_FLOAT32


def pictures(limit: float) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float32, (8, 8), elements=st.floats(-limit, limit, width=32))


@given(pictures(1), pictures(2))
def test_colours_stay_in_range_and_say_the_sign(original, difference):
    colours = colorized_map(original, difference)
    grey = (original + 1) / 2
    assert colours.dtype == np.float32
    assert colours.min() >= 0
    assert colours.max() <= 1
    red, blue = colours[..., 0], colours[..., 2]
    assert np.all(red[difference > 0] >= grey[difference > 0] - 1e-6)
    assert np.all(blue[difference > 0] <= grey[difference > 0] + 1e-6)
    assert np.all(blue[difference < 0] >= grey[difference < 0] - 1e-6)
    assert np.all(red[difference < 0] <= grey[difference < 0] + 1e-6)


@given(pictures(1), pictures(2))
def test_what_adds_and_what_takes_away_are_drawn_alike(original, difference):
    adds, takes = colorized_map(original, difference), colorized_map(original, -difference)
    np.testing.assert_allclose(adds, takes[..., ::-1], atol=1e-6)


@given(pictures(1))
def test_no_difference_leaves_the_grey_original(original):
    colours = colorized_map(original, np.zeros((8, 8), np.float32))
    np.testing.assert_allclose(colours, np.repeat(((original + 1) / 2)[..., None], 3, axis=2), atol=1e-6)


def test_a_map_of_next_to_nothing_stays_pale_and_a_strong_one_reaches_full_colour():
    black = np.full((8, 8), -1, np.float32)
    faint = colorized_map(black, np.full((8, 8), LEAST_FULL_COLOUR / 10, np.float32))
    np.testing.assert_allclose(faint[..., 0], 0.1, atol=1e-6)
    strong = colorized_map(black, np.full((8, 8), -1.5, np.float32))
    np.testing.assert_array_equal(strong, np.broadcast_to(np.float32([0, 0, 1]), (8, 8, 3)))


@pytest.fixture
def explanation() -> Explanation:
    draw = np.random.default_rng(0)
    original, reconstruction, negative, applied, positive = draw.uniform(-1, 1, (5, 8, 8)).astype(np.float32)
    z = np.zeros((1, 6), np.float32)
    explained = Explained(
        original=original,
        z=z,
        negative_z=z,
        reconstruction=reconstruction,
        negative_realization=negative,
        applied_negative=applied,
        uncertainty=draw.uniform(0, 2, (8, 8)).astype(np.float32),
        scores=Scores(0.9, 0.8, 0.1, 0.2, 0.5),
        verdict=pb.Verdict(),
        outcome=InversionOutcome(10, True, 0.01, 0.3),
        prepare_seconds=1,
        steps_began=1,
        steps_ended=2,
        seconds=3,
    )
    return Explanation(
        explained=explained,
        positive_realization=PositiveRealization(z, positive, 0.6, True, 3, 0.5, 0.1, 1),
        trajectory=(),
        timing=Timing(1, 1, 1, 1, 1, 5),
        settings=InversionSettings(10, 0.05, 4.0),
        seed=0,
        notes=(),
    )


def expected_values(explanation: Explanation, kind: pb.MapKind) -> tuple[np.ndarray, float, float]:
    explained, positive = explanation.explained, explanation.positive_realization
    difference = explained.reconstruction - explained.negative_realization
    residual = residual_map(explained.original, explained.reconstruction, explained.negative_realization)
    return {
        pb.MAP_KIND_ORIGINAL: (explained.original, -1, 1),
        pb.MAP_KIND_RECONSTRUCTION: (explained.reconstruction, -1, 1),
        pb.MAP_KIND_NEGATIVE_REALIZATION: (explained.negative_realization, -1, 1),
        pb.MAP_KIND_DIFFERENCE: (difference, -2, 2),
        pb.MAP_KIND_COLORIZED: (colorized_map(explained.original, difference), 0, 1),
        pb.MAP_KIND_APPLIED_NEGATIVE: (explained.applied_negative, -1, 1),
        pb.MAP_KIND_RESIDUAL: (residual, -4, 4),
        pb.MAP_KIND_UNCERTAINTY: (explained.uncertainty, 0, 2),
        pb.MAP_KIND_POSITIVE_REALIZATION: (positive.picture, -1, 1),
    }[kind]


KINDS = [kind for kind in pb.MapKind.values() if kind != pb.MAP_KIND_UNSPECIFIED]


@pytest.mark.parametrize("kind", KINDS, ids=pb.MapKind.Name)
@pytest.mark.parametrize("form", [pb.MAP_FORM_TENSOR, pb.MAP_FORM_UNSPECIFIED], ids=pb.MapForm.Name)
def test_a_tensor_holds_the_values(explanation, kind, form):
    values, _, _ = expected_values(explanation, kind)
    rendered = render(explanation, kind, form)
    assert rendered.kind == kind
    assert rendered.tensor.data_type == DATA_TYPE_FLOAT32
    found = np.frombuffer(rendered.tensor.data, "<f4").reshape(rendered.tensor.shape)
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("kind", KINDS, ids=pb.MapKind.Name)
def test_a_png_holds_the_kinds_range_in_256_levels(explanation, kind):
    values, low, high = expected_values(explanation, kind)
    rendered = render(explanation, kind, pb.MAP_FORM_PNG)
    with Image.open(io.BytesIO(rendered.png)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB" if values.ndim == 3 else "L")
        levels = np.asarray(image, np.float32)
    np.testing.assert_allclose(low + levels / 255 * (high - low), values, atol=(high - low) / 255 / 2 + 1e-6)


@given(pictures(1), pictures(1), pictures(1))
def test_the_applied_negative_is_the_image_less_the_difference_within_its_range(original, reconstruction, negative):
    applied = applied_negative(original, reconstruction, negative)
    assert applied.dtype == np.float32
    assert np.abs(applied).max() <= 1
    exact = original - (reconstruction - negative)
    inside = np.abs(exact) < 1
    np.testing.assert_array_equal(applied[inside], exact[inside])
    np.testing.assert_array_equal(np.sign(applied[~inside]), np.sign(exact[~inside]))
    np.testing.assert_array_equal(applied_negative(original, negative, negative), original)


@given(pictures(1), pictures(1), pictures(1))
def test_the_residual_map_keeps_to_its_range(original, reconstruction, negative):
    residual = residual_map(original, reconstruction, negative)
    assert (residual.shape, residual.dtype) == ((8, 8), np.float32)
    assert np.abs(residual).max() <= 4 * (1 + 1e-5)
    np.testing.assert_array_equal(residual_map(original, negative, negative), 0)


@given(st.lists(pictures(2), min_size=1, max_size=5))
def test_the_uncertainty_is_the_deviation_over_restarts(differences):
    uncertainty = uncertainty_map(differences)
    assert uncertainty.dtype == np.float32
    assert uncertainty.min() >= 0
    assert uncertainty.max() <= 2
    np.testing.assert_array_equal(uncertainty_map(differences[:1] * 3), 0)
    np.testing.assert_allclose(uncertainty_map([-each for each in differences[::-1]]), uncertainty, atol=1e-6)


def test_opposite_extremes_are_as_uncertain_as_can_be():
    full = np.full((8, 8), 2, np.float32)
    np.testing.assert_array_equal(uncertainty_map([full, -full]), 2)


def test_a_frame_is_drawn_as_a_picture_is():
    picture = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    frame = TrajectoryFrame(0.25, 0.75, picture)
    tensor = render_frame(frame, pb.MAP_FORM_UNSPECIFIED)
    assert (tensor.position, tensor.score) == (0.25, 0.75)
    np.testing.assert_array_equal(np.frombuffer(tensor.tensor.data, "<f4").reshape(8, 8), picture)
    with Image.open(io.BytesIO(render_frame(frame, pb.MAP_FORM_PNG).png)) as image:
        np.testing.assert_allclose(np.asarray(image) / 127.5 - 1, picture, atol=1 / 255 + 1e-6)
