"""A map is laid back on the film to half a pixel of the film."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from medxgan.client import Geometry, Orientation, Unrecognised
from medxgan.client.geometry import Box, GeometryError

EXIF = {orientation: value for value, orientation in enumerate(Orientation, start=1)}
"""The orientations in the order of EXIF's values, 1 to 8."""


def upright(film: np.ndarray, orientation: Orientation) -> np.ndarray:
    """The film turned as Pillow turns a picture with that EXIF orientation."""
    image = Image.fromarray(film)
    image.getexif()[0x0112] = EXIF[orientation]
    return np.asarray(ImageOps.exif_transpose(image))


def whole(rows: int, columns: int, orientation: Orientation | Unrecognised = Orientation.AS_STORED) -> Geometry:
    turned = orientation in list(Orientation)[4:]
    box = Box(0, 0, *((columns, rows) if turned else (rows, columns)))
    return Geometry(rows, columns, orientation, box, None, 1.0, 0)


@pytest.mark.parametrize("orientation", Orientation)
def test_the_film_itself_comes_back_in_its_own_layout(orientation: Orientation) -> None:
    film = np.random.default_rng(1).uniform(0, 1, (5, 7)).astype(np.float32)
    np.testing.assert_array_equal(whole(5, 7, orientation).lay_on_film(upright(film, orientation)), film)


@pytest.mark.parametrize("orientation", Orientation)
def test_a_place_on_the_map_is_where_the_pixel_is_on_the_film(orientation: Orientation) -> None:
    film = np.arange(35, dtype=np.float32).reshape(5, 7)
    turned = upright(film, orientation)
    geometry = whole(5, 7, orientation)
    for row, column in np.ndindex(turned.shape):
        at_row, at_column = geometry.to_film(row + 0.5, column + 0.5, turned.shape)
        assert film[int(at_row), int(at_column)] == turned[row, column]
        assert geometry.to_map(at_row, at_column, turned.shape) == pytest.approx((row + 0.5, column + 0.5))


SIDES = st.integers(40, 200)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Square, wide and tall films, turned in every way, that x sees cropped, padded or stretched; a crop of pixels that
    are not square has a box of another aspect."""
    rows, columns = draw(SIDES), draw(SIDES)
    orientation = draw(st.sampled_from(Orientation))
    turned = (columns, rows) if EXIF[orientation] > 4 else (rows, columns)
    aspect = draw(st.sampled_from([1.0, 1.0, 0.5, 1.7]))
    # Height and width in units of a pixel's width.
    height, width = turned[0] * aspect, turned[1]
    match draw(st.sampled_from(["crop", "pad", "stretch"])):
        case "crop":
            side = min(height, width)
        case "pad":
            side = max(height, width)
        case _:
            side = None
    tall, wide = turned if side is None else (side / aspect, side)
    top, left = (turned[0] - tall) / 2, (turned[1] - wide) / 2
    return Geometry(rows, columns, orientation, Box(top, left, top + tall, left + wide), None, aspect, 0)


@settings(max_examples=300)
@given(geometries(), st.floats(0.3, 0.7), st.floats(0.3, 0.7), st.sampled_from([(32, 32), (64, 64), (32, 48)]))
def test_a_mark_comes_back_within_half_a_pixel_of_the_film(geometry, down, across, shape) -> None:
    box = geometry.box
    turned_row = box.top + down * (box.bottom - box.top)
    turned_column = box.left + across * (box.right - box.left)
    size = (geometry.columns, geometry.rows) if EXIF[geometry.orientation] > 4 else (geometry.rows, geometry.columns)
    # Three standard deviations inside of the film and of x.
    spread = [1.5 * max(1.0, (box.bottom - box.top) / shape[0]), 1.5 * max(1.0, (box.right - box.left) / shape[1])]
    assume(3 * spread[0] < turned_row < size[0] - 3 * spread[0])
    assume(3 * spread[1] < turned_column < size[1] - 3 * spread[1])

    # What x shows of a mark with a smooth edge, by the formula of the contract: the centre of row i of h rows.
    rows = box.top + (np.arange(shape[0]) + 0.5) * (box.bottom - box.top) / shape[0]
    columns = box.left + (np.arange(shape[1]) + 0.5) * (box.right - box.left) / shape[1]
    seen = np.exp(
        -0.5 * ((rows[:, None] - turned_row) / spread[0]) ** 2 - 0.5 * ((columns - turned_column) / spread[1]) ** 2
    )
    laid = geometry.lay_on_film(seen, fill=0.0)
    assert laid.shape == (geometry.rows, geometry.columns)

    # The film turned upright again, by Pillow, has the mark where it was put.
    film = upright(laid, geometry.orientation)
    weight = film / film.sum()
    centre_row = (weight.sum(axis=1) * (np.arange(film.shape[0]) + 0.5)).sum()
    centre_column = (weight.sum(axis=0) * (np.arange(film.shape[1]) + 0.5)).sum()
    assert abs(centre_row - turned_row) < 0.5
    assert abs(centre_column - turned_column) < 0.5

    # So does the place on the film as it was sent, there and back.
    at_row, at_column = geometry.to_film(down * shape[0], across * shape[1], shape)
    weight = laid / laid.sum()
    assert abs((weight.sum(axis=1) * (np.arange(geometry.rows) + 0.5)).sum() - at_row) < 0.5
    assert abs((weight.sum(axis=0) * (np.arange(geometry.columns) + 0.5)).sum() - at_column) < 0.5
    assert geometry.to_map(at_row, at_column, shape) == pytest.approx((down * shape[0], across * shape[1]))


def test_outside_of_what_was_seen_is_the_fill() -> None:
    geometry = Geometry(4, 10, Orientation.AS_STORED, Box(0, 3, 4, 7), None, 1.0, 0)
    laid = geometry.lay_on_film(np.ones((2, 2)))
    assert np.isnan(laid[:, [0, 1, 2, 7, 8, 9]]).all()
    np.testing.assert_array_equal(laid[:, 3:7], 1)
    assert geometry.lay_on_film(np.ones((2, 2)), fill=-1)[0, 0] == -1


def test_a_padded_film_leaves_out_the_padding() -> None:
    geometry = Geometry(4, 2, Orientation.AS_STORED, Box(0, -1, 4, 3), None, 1.0, 0)
    ramp = np.tile([-9.0, 1.0, 2.0, -9.0], (4, 1))
    np.testing.assert_array_equal(geometry.lay_on_film(ramp), np.tile([1.0, 2.0], (4, 1)).astype(np.float32))


def test_bilinear_between_the_centres_and_constant_beyond() -> None:
    laid = whole(1, 8).lay_on_film(np.array([[0.0, 1.0]]))
    np.testing.assert_allclose(laid[0], [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1], atol=1e-6)


def test_colour_is_laid_by_channel() -> None:
    colour = np.random.default_rng(2).uniform(0, 1, (4, 4, 3)).astype(np.float32)
    geometry = whole(9, 6, Orientation.TURNED_90)
    laid = geometry.lay_on_film(colour)
    assert laid.shape == (9, 6, 3)
    for channel in range(3):
        np.testing.assert_array_equal(laid[..., channel], geometry.lay_on_film(colour[..., channel]))


@pytest.mark.parametrize(
    "geometry",
    [whole(4, 4, Unrecognised(9)), whole(0, 0), Geometry(4, 4, Orientation.AS_STORED, Box(2, 0, 2, 4), None, 1.0, 0)],
)
def test_a_geometry_that_says_nothing_is_refused(geometry: Geometry) -> None:
    for use in (
        lambda: geometry.lay_on_film(np.ones((2, 2))),
        lambda: geometry.to_film(1.0, 1.0, (2, 2)),
        lambda: geometry.to_map(1.0, 1.0, (2, 2)),
    ):
        with pytest.raises(GeometryError):
            use()


def test_a_map_has_two_axes_or_three() -> None:
    with pytest.raises(ValueError, match=r"\(4,\)"):
        whole(4, 4).lay_on_film(np.ones(4))
