"""The maps: their properties, and how they cross the wire."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from medxgan.server.explanation import Explanation, Scores, Timing
from medxgan.server.inversion import InversionOutcome, InversionSettings
from medxgan.server.maps import render
from medxgan.server.maps.colorized import LEAST_FULL_COLOUR, colorized_map
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
    original, reconstruction, negative = draw.uniform(-1, 1, (3, 8, 8)).astype(np.float32)
    return Explanation(
        original=original,
        reconstruction=reconstruction,
        negative_realization=negative,
        scores=Scores(0.9, 0.8, 0.1, 0.5),
        verdict=pb.Verdict(),
        outcome=InversionOutcome(10, True, 0.01, 0.3),
        timing=Timing(1, 1, 1, 1, 4),
        settings=InversionSettings(10, 0.05, 4.0),
        seed=0,
        notes=(),
    )


def expected_values(explanation: Explanation, kind: pb.MapKind) -> tuple[np.ndarray, float, float]:
    difference = explanation.reconstruction - explanation.negative_realization
    return {
        pb.MAP_KIND_ORIGINAL: (explanation.original, -1, 1),
        pb.MAP_KIND_RECONSTRUCTION: (explanation.reconstruction, -1, 1),
        pb.MAP_KIND_NEGATIVE_REALIZATION: (explanation.negative_realization, -1, 1),
        pb.MAP_KIND_DIFFERENCE: (difference, -2, 2),
        pb.MAP_KIND_COLORIZED: (colorized_map(explanation.original, difference), 0, 1),
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
