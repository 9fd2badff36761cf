"""A region on a film: what is erased, and by what."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.client.geometry import Box, Geometry
from medxgan.client.vocabulary import MapKind, Orientation
from medxgan.web.decoding import Film
from medxgan.web.errors import FieldError
from medxgan.web.region import erased, read_outline, shares


def film(levels: np.ndarray) -> Film:
    return Film(levels, inverted=False, low=0, high=255)


@given(st.integers(2, 20), st.integers(2, 20), st.integers(3, 15), st.integers(3, 15), st.integers(0, 2**31))
def test_a_rectangle_is_filled_by_what_surrounds_it(top: int, left: int, tall: int, wide: int, seed: int) -> None:
    levels = np.random.default_rng(seed).integers(0, 255, (40, 40)).astype(np.uint16)
    bottom, right = top + tall, left + wide
    result = erased(film(levels), np.array([[top, left], [top, right], [bottom, right], [bottom, left]], float))
    inside = np.zeros((40, 40), bool)
    # Pillow's polygon holds the pixels whose centres are in it; those on its edge may go either way.
    inside[top:bottom, left:right] = True
    assert len(np.unique(result[top + 1 : bottom - 1, left + 1 : right - 1])) <= 1
    edge = np.zeros_like(inside)
    edge[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1] = True
    np.testing.assert_array_equal(result[~edge], levels[~edge])
    assert levels.min() <= result.min()
    assert result.max() <= levels.max()


def test_a_spot_on_an_even_ground_is_gone() -> None:
    levels = np.full((60, 60), 100, np.uint8)
    levels[20:30, 20:30] = 250
    result = erased(film(levels), np.array([[18, 18], [18, 32], [32, 32], [32, 18]], float))
    assert np.unique(result).tolist() == [100]


@pytest.mark.parametrize("outline", [[[-9, -9], [-9, -2], [-2, -2]], [[0, 0], [0, 60], [60, 60], [60, 0]]])
def test_nothing_to_erase_and_nothing_left_are_refused(outline: list[list[float]]) -> None:
    with pytest.raises(FieldError):
        erased(film(np.zeros((60, 60), np.uint8)), np.array(outline, float))


@pytest.mark.parametrize(
    "told",
    [None, "here", [[1, 2]], [[1, 2, 3]] * 4, [[1, float("nan")]] * 4, [[0, 0]] * 3000, [[10**400, 1], [2, 2], [3, 1]]],
)
def test_an_outline_is_checked(told: object) -> None:
    with pytest.raises(FieldError, match="outline"):
        read_outline(told)


@pytest.mark.parametrize("far", [1e12, 1e300, -1e300])
def test_an_outline_may_lie_far_outside(far: float) -> None:
    levels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    try:
        result = erased(film(levels), read_outline([[far, 1], [2, 2], [3, 1]]))
    except FieldError:
        return  # none of the film's pixels is in it
    assert result.shape == levels.shape


def test_a_map_that_is_no_number_somewhere_has_no_share() -> None:
    geometry = Geometry(8, 8, Orientation.AS_STORED, Box(0, 0, 8, 8), None, 1.0, 0)
    broken = np.ones((8, 8), np.float32)
    broken[7, 7] = np.nan
    maps = {kind: SimpleNamespace(values=values) for kind, values in (
        (MapKind.DIFFERENCE, np.ones((8, 8), np.float32)),
        (MapKind.GRADIENT, broken),
        (MapKind.GRAD_CAM, np.zeros((8, 8), np.float32)),
    )}  # fmt: skip
    explanation = SimpleNamespace(maps=maps, geometry=geometry)
    left = np.array([[0, 0], [8, 0], [8, 4], [0, 4]], float)
    assert shares(explanation, left) == {"area": 0.5, "difference": 0.5}  # type: ignore[arg-type]
