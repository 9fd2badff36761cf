"""Figures of maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medxgan.client.geometry import Box, Geometry
from medxgan.client.vocabulary import Orientation
from medxgan.cohort.figures import Region, map_figures

GEOMETRY = Geometry(40, 80, Orientation.AS_STORED, Box(0, 20, 40, 60), None, 1.0, 0)
MAPS = arrays(np.float32, (20, 20), elements=st.floats(-2, 2, width=32))


@given(MAPS, st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_shares_of_parts_add_up(values: np.ndarray, row: float, column: float) -> None:
    quarters = [
        Region(top, left, bottom, right)
        for top, bottom in ((0, row), (row, 1))
        for left, right in ((0, column), (column, 1))
    ]
    shares = [map_figures(values, GEOMETRY, quarter)["region_share"] for quarter in quarters]
    if np.abs(values).sum(dtype=np.float64) == 0:
        assert shares == [None] * 4
    else:
        assert sum(shares) == pytest.approx(1, abs=1e-4)
        assert all(-1e-6 <= share <= 1 + 1e-6 for share in shares)


@given(MAPS)
def test_the_peak_is_the_greatest_magnitude(values: np.ndarray) -> None:
    figures = map_figures(values, GEOMETRY, None)
    assert abs(figures["peak"]) == np.abs(values).max()
    assert values[figures["peak_row"], figures["peak_column"]] == figures["peak"]
    assert figures["mean"] == pytest.approx(float(values.mean(dtype=np.float64)))


def test_the_peak_has_a_place_on_the_film() -> None:
    values = np.zeros((20, 20), np.float32)
    values[3, 10] = -1
    figures = map_figures(values, GEOMETRY, None)
    # A pixel of the map is two of the film, the map begins at its column 20.
    assert (figures["peak"], figures["peak_film_row"], figures["peak_film_column"]) == (-1, 7, 41)
    assert figures["border_share"] == pytest.approx(0, abs=1e-6)
    values[3, 10], values[0, 5] = 0, 1
    assert map_figures(values, GEOMETRY, None)["border_share"] == pytest.approx(1)


def test_what_is_no_number_has_no_figures() -> None:
    figures = map_figures(np.full((20, 20), np.nan, np.float32), GEOMETRY, Region(0, 0, 1, 1))
    assert set(figures.values()) == {None}
    assert {"border_share", "region_share"} <= figures.keys()


@pytest.mark.parametrize("text", ["0,0,1", "0,0,2,1", "0.5,0,0.2,1", "a,0,1,1"])
def test_a_region_is_a_rectangle_within_the_picture(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the option's own message is the command's
        Region.parse(text)
