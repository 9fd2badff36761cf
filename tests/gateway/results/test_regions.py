"""Regions of evidence: where they are, how large, and what they hold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.results.explanations import make_explanation

from medxgan.client import MapKind, PixelSpacing
from medxgan.client.geometry import Box
from medxgan.gateway.results.regions import MOST_REGIONS, evidence_kind, find_regions

SIDE = 32


def squares(*places: tuple[int, int, int, float]) -> np.ndarray:
    """A map with squares: row, column and side in pixels of the map, and their value."""
    values = np.zeros((SIDE, SIDE), np.float32)
    for row, column, side, value in places:
        values[row : row + side, column : column + side] = value
    return values


def polygon_area(corners: np.ndarray) -> float:
    x, y = corners.T
    return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2


@settings(max_examples=30)
@given(
    row=st.integers(1, SIDE - 12),
    column=st.integers(1, SIDE - 12),
    side=st.integers(4, 10),
    value=st.sampled_from([-0.8, -0.1, 0.1, 0.5, 1.5]),
    scale=st.tuples(st.integers(2, 9), st.integers(2, 9)),
)
def test_a_square_is_found_with_its_place_its_size_and_its_change(
    row: int, column: int, side: int, value: float, scale: tuple[int, int]
) -> None:
    tall, wide = scale
    shape = (SIDE * tall, SIDE * wide)
    explanation = make_explanation(shape, squares((row, column, side, value)), spacing=PixelSpacing(0.3, 0.15))
    (region,) = find_regions(explanation)
    # The edge of a map pixel is a ramp on the film, and the threshold lies somewhere on it, half a pixel at most away.
    area = side * tall * side * wide
    rim = 4 * side * tall * wide / 2 + 4 * tall * wide
    assert region.area_pixels == region.mask.sum() == pytest.approx(area, abs=rim)
    assert region.area_mm2 == pytest.approx(region.area_pixels * 0.045)
    assert np.sign(region.mean_change) == np.sign(value)
    assert abs(region.mean_change) <= abs(value) * 1.001
    assert region.largest_change == pytest.approx(value, rel=1e-4)
    rows, columns = np.nonzero(region.mask)
    centre = (row + side / 2) * tall, (column + side / 2) * wide
    assert (rows.mean() + 0.5, columns.mean() + 0.5) == pytest.approx(centre, abs=1)
    # The outline is closed, runs around the mask, between pixel edges.
    np.testing.assert_array_equal(region.outline[0], region.outline[-1])
    assert polygon_area(region.outline[:-1]) == pytest.approx(region.area_pixels, rel=0.1, abs=8)
    assert region.outline.min(axis=0) == pytest.approx((columns.min(), rows.min()), abs=0.75)
    assert region.outline.max(axis=0) == pytest.approx((columns.max() + 1, rows.max() + 1), abs=0.75)
    assert region.outline.min() >= 0
    assert (region.outline.max(axis=0) <= (shape[1], shape[0])).all()


def test_the_region_with_most_evidence_comes_first() -> None:
    explanation = make_explanation((320, 320), squares((2, 2, 5, 0.9), (20, 20, 8, 0.9), (2, 20, 3, 0.9)))
    areas = [region.area_pixels for region in find_regions(explanation)]
    assert areas == sorted(areas, reverse=True)
    assert len(areas) == 3


def test_what_is_no_larger_than_noise_is_no_region_and_there_are_never_very_many() -> None:
    assert find_regions(make_explanation((320, 320), squares((5, 5, 1, 1.0)))) == []
    many = squares(*((row, column, 4, 1.0) for row in range(1, 30, 6) for column in range(1, 30, 6)))
    assert len(find_regions(make_explanation((320, 320), many))) == MOST_REGIONS


@pytest.mark.parametrize("value", [0.0, 0.005])
def test_a_difference_below_a_grey_level_has_no_region(value: float) -> None:
    assert find_regions(make_explanation((320, 320), squares((5, 5, 8, value)))) == []


def test_regions_are_those_of_the_evidence_and_measure_the_difference() -> None:
    explanation = make_explanation(
        (320, 320), squares((4, 4, 8, 0.5), (20, 20, 8, -0.5)), evidence=squares((20, 20, 8, 0.2))
    )
    assert evidence_kind(explanation) is MapKind.EVIDENCE
    (region,) = find_regions(explanation)
    assert region.largest_change == pytest.approx(-0.5)


def test_without_an_evidence_map_they_are_those_of_the_difference() -> None:
    plain = make_explanation((320, 320), squares((4, 4, 8, 0.5)), evidence=squares((20, 20, 8, 0.2)))
    maps = {kind: entry for kind, entry in plain.maps.items() if kind is not MapKind.EVIDENCE}
    explanation = replace(plain, maps=maps)
    assert evidence_kind(explanation) is MapKind.DIFFERENCE
    (region,) = find_regions(explanation)
    assert region.largest_change == pytest.approx(0.5)


def test_a_region_ends_where_x_ends() -> None:
    explanation = make_explanation((320, 320), squares((0, 0, 10, 1.0)), box=Box(40.0, 60.0, 300.0, 320.0))
    (region,) = find_regions(explanation)
    rows, columns = np.nonzero(region.mask)
    assert (rows.min(), columns.min()) == (40, 60)


def test_an_area_is_not_stated_in_millimetres_where_the_spacing_is_not_known() -> None:
    (region,) = find_regions(make_explanation((320, 320), squares((5, 5, 8, 1.0)), spacing=None))
    assert region.area_mm2 is None
