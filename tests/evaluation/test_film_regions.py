"""Regions of chest films, on films that were drawn, so that it is known where everything is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from medxgan.evaluation.film_regions import (
    burnt_in_marks,
    lung_fields,
    outer_frame,
    reduced_film,
    shortcut_regions,
)
from medxgan.evaluation.metrics.localisation import mass_over_area
from medxgan.server.images.film import Film
from medxgan.v1 import bundle_pb2

SIDE = 128
LEFT, RIGHT = (26, 28, 54, 92), (74, 28, 102, 92)
BODY = (8, 6, 120, 127)
LETTER = ((106, 8, 109, 22), (106, 19, 116, 22))
"""An L, by its two strokes: left, top, right, bottom."""

Mask = np.ndarray


def drawn(*boxes: tuple[int, int, int, int], side: int = SIDE, ellipse: bool = True) -> Mask:
    picture = Image.new("1", (side, side))
    draw = ImageDraw.Draw(picture)
    for box in boxes:
        (draw.ellipse if ellipse else draw.rectangle)(box, fill=1)
    return np.asarray(picture, np.bool_)


LUNGS, MARK = drawn(LEFT, RIGHT), drawn(*LETTER, ellipse=False)


def film(lungs: Mask = LUNGS, marks: Mask = MARK, seed: int = 0) -> np.ndarray:
    """A grey body on black, with dark lungs, a white letter and noise: [128, 128] uint8."""
    levels = np.zeros((SIDE, SIDE))
    levels[drawn(BODY, ellipse=False)] = 150
    levels[lungs] = 70
    levels += np.random.default_rng(seed).normal(0, 4, levels.shape)
    levels[marks] = 255
    return np.clip(levels, 0, 255).astype(np.uint8)


def overlap(found: Mask | None, wanted: Mask) -> float:
    assert found is not None
    return float((found & wanted).sum() / (found | wanted).sum())


@pytest.mark.parametrize("seed", range(4))
def test_the_lungs_and_the_letter_are_found(seed: int) -> None:
    assert overlap(lung_fields(film(seed=seed)), LUNGS) > 0.8
    assert overlap(burnt_in_marks(film(seed=seed)), MARK) > 0.8


def test_ribs_that_cross_a_lung_do_not_make_holes_in_it() -> None:
    crossed = film()
    crossed[40:80:10, 30:50] = 130
    assert overlap(lung_fields(crossed), LUNGS) > 0.8


@pytest.mark.parametrize(
    "lungs",
    [
        drawn(),
        drawn(LEFT),
        drawn(LEFT, (74, 28, 86, 40)),
        drawn((26, 70, 54, 126), (74, 70, 102, 126)),
        drawn((20, 40, 108, 56), (20, 70, 108, 86)),
    ],
    ids=["none", "one", "unlike in size", "too low", "lying one above the other"],
)
def test_what_is_not_like_two_lungs_is_none(lungs: Mask) -> None:
    assert lung_fields(film(lungs)) is None


def test_air_beside_the_body_and_its_dim_rim_are_no_lung() -> None:
    levels = film()
    rim, air, bridge = (drawn(box, ellipse=False) for box in ((8, 10, 20, 110), (8, 18, 12, 102), (12, 40, 40, 80)))
    levels[rim], levels[air], levels[bridge & ~LUNGS] = 30, 0, 60
    assert overlap(lung_fields(levels), LUNGS) > 0.8


def test_a_film_of_one_level_has_neither_lungs_nor_marks() -> None:
    flat = reduced_film(Film(np.full((50, 60), 7, np.float32)))
    assert flat.shape == (50, 60)
    assert lung_fields(flat) is None
    assert not burnt_in_marks(flat).any()


def test_wide_bright_areas_are_no_marks() -> None:
    assert not burnt_in_marks(film(marks=drawn((90, 100, 110, 120), ellipse=False))).any()


def test_a_film_is_reduced_and_turned_to_bright_bones() -> None:
    large = np.kron(film().astype(np.float32), np.ones((4, 4), np.float32)) * 16 - 1000
    np.testing.assert_array_equal(reduced_film(Film(large)), film())
    np.testing.assert_array_equal(reduced_film(Film(-large, inverted=True)), film())


def test_the_frame_is_an_eighth_at_each_border() -> None:
    frame = outer_frame(64)
    assert frame.mean() == pytest.approx(1 - 0.75**2)
    assert frame[7, 30]
    assert frame[30, 56]
    assert not frame[8, 8]


def specification(size: int) -> bundle_pb2.ImageSpecification:
    return bundle_pb2.ImageSpecification(height=size, width=size, aspect=bundle_pb2.ASPECT_CROP)


def test_regions_are_in_the_pixels_of_x() -> None:
    # A film wider than high, of which the middle square is seen.
    wide = np.pad(film(), ((0, 0), (20, 20))).astype(np.float32)
    regions = shortcut_regions(Film(wide), specification(64))
    assert regions.keys() == {"frame", "marks", "outside_lungs"}
    halved = np.asarray(Image.fromarray(LUNGS).resize((64, 64)), np.bool_)
    assert overlap(~regions["outside_lungs"], halved) > 0.8


def test_what_is_not_found_is_left_out() -> None:
    regions = shortcut_regions(Film(film(drawn(), drawn()).astype(np.float32)), specification(64))
    assert regions.keys() == {"frame"}


def test_the_mass_on_a_region_is_against_chance() -> None:
    region = np.zeros((4, 4), np.bool_)
    region[0] = True
    values = np.zeros((4, 4), np.float32)
    values[0, 0], values[1, 0], values[3, 3] = -3, 1, 2
    # Half of the mass, whatever its sign, on a quarter of the area.
    assert mass_over_area(values, region) == pytest.approx(2)
    assert mass_over_area(values * 1e-6, region) == pytest.approx(2)
    assert mass_over_area(values, np.ones((4, 4), np.bool_)) == pytest.approx(1)
    assert mass_over_area(values, ~region) == pytest.approx(0.5 / 0.75)


def test_an_even_and_an_empty_map_are_as_chance() -> None:
    region = outer_frame(16)
    assert mass_over_area(np.full((16, 16), -0.3, np.float32), region) == pytest.approx(1)
    assert mass_over_area(np.zeros((16, 16), np.float32), region) == 1


@given(seed=st.integers(0, 2**32 - 1))
def test_region_and_rest_share_the_mass(seed: int) -> None:
    random = np.random.default_rng(seed)
    values, region = random.normal(size=(8, 8)).astype(np.float32), random.random((8, 8)) < 0.3
    region[0, 0], region[7, 7] = True, False
    both = mass_over_area(values, region) * region.mean() + mass_over_area(values, ~region) * (~region).mean()
    assert both == pytest.approx(1)
