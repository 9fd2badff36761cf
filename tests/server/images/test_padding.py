"""Padding has no part in the contrast and is dark, however it is coded."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.errors import ImageError
from medxgan.server.images.dicom.decoding import decode_dicom
from medxgan.server.images.film import Film
from medxgan.server.images.limits import ImageLimits

NOTE = "padding pixels are dark and have no part in the contrast"
INSIDE = np.zeros((8, 8), bool)
INSIDE[2:6, 2:7] = True
ANATOMY = 1000 + np.arange(64).reshape(8, 8)


def padded(value: int, kind: str) -> np.ndarray:
    return np.where(INSIDE, ANATOMY, value).astype(kind)


def check(film: Film, slope: float = 1, intercept: float = 0) -> None:
    """Anatomy is as it was, and padding is as dark as its darkest pixel."""
    wanted = ANATOMY * slope + intercept
    np.testing.assert_allclose(film.levels[INSIDE], wanted[INSIDE])
    darkest = wanted[INSIDE].max() if film.inverted else wanted[INSIDE].min()
    np.testing.assert_allclose(film.levels[~INSIDE], darkest)
    assert NOTE in film.notes


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("value", "kind"), [(-32768, "<i2"), (-2000, "<i2"), (0, "<i2"), (32767, "<i2"), (0, "<u2"), (65535, "<u2")]
)
def test_anatomy_is_the_same_whatever_surrounds_it(
    write: Callable[..., bytes], limits: ImageLimits, value: int, kind: str, interpretation: str
) -> None:
    elements = {"PixelPaddingValue": value, "RescaleSlope": 2, "RescaleIntercept": -1024}
    content = write(padded(value, kind), signed=kind == "<i2", interpretation=interpretation, elements=elements)
    film = decode_dicom(content, 0, limits)
    assert film.inverted == (interpretation == "MONOCHROME1")
    check(film, 2, -1024)


@pytest.mark.parametrize(
    ("value", "limit", "kind"),
    [(-32768, -30000, "<i2"), (-30000, -32768, "<i2"), (0, 900, "<u2"), (65535, 60000, "<u2"), (-5, 5, "<i2")],
)
def test_a_range_of_padding(
    write: Callable[..., bytes], limits: ImageLimits, value: int, limit: int, kind: str
) -> None:
    cells = padded(value, kind)
    cells[0], cells[1] = limit, (value + limit) // 2
    elements = {"PixelPaddingValue": value, "PixelPaddingRangeLimit": limit}
    check(decode_dicom(write(cells, signed=kind == "<i2", elements=elements), 0, limits))


def stated_as(content: bytes, wrong: bytes, value: int) -> bytes:
    """The file with its padding value in the other representation, and so with another sign."""
    at = content.index(b"\x28\x00\x20\x01")
    return content[: at + 4] + wrong + b"\x02\x00" + (value % 65536).to_bytes(2, "little") + content[at + 10 :]


def test_the_sign_of_the_padding_value_follows_the_pixels(write: Callable[..., bytes], limits: ImageLimits) -> None:
    signed = write(padded(-2000, "<i2"), signed=True, elements={"PixelPaddingValue": -2000})
    check(decode_dicom(stated_as(signed, b"US", 63536), 0, limits))
    unsigned = write(padded(63536, "<u2"), elements={"PixelPaddingValue": 63536})
    check(decode_dicom(stated_as(unsigned, b"SS", -2000), 0, limits))


def test_padding_beyond_the_bits_stored_is_found_in_the_whole_cells(
    write: Callable[..., bytes], limits: ImageLimits
) -> None:
    # 12 bits of 0xFFFF would be 4095, and of -32768 they would be 0: both are levels that anatomy may have.
    check(decode_dicom(write(padded(65535, "<u2"), stored=12, elements={"PixelPaddingValue": 65535}), 0, limits))
    signed = write(padded(-32768, "<i2"), stored=12, signed=True, elements={"PixelPaddingValue": -32768})
    check(decode_dicom(signed, 0, limits))


def test_padding_in_bits_that_are_not_the_lowest(
    write: Callable[..., bytes], cells: Callable[..., np.ndarray], limits: ImageLimits
) -> None:
    held = cells(padded(16, "<i2"), 16, 12, 15)
    held[3, 3] = 1 << 4  # a value of 1, whose cell is the number of the padding
    content = write(held, stored=12, high_bit=15, elements={"PixelPaddingValue": 16})
    film = decode_dicom(content, 0, limits)
    assert film.levels[3, 3] == 1
    np.testing.assert_array_equal(film.levels[~INSIDE], 1)


@pytest.mark.parametrize(("prefix", "kind"), [("", "<f4"), ("Double", "<f8")])
def test_padding_of_floating_point_pixels(
    write: Callable[..., bytes], limits: ImageLimits, prefix: str, kind: str
) -> None:
    values = np.where(INSIDE, ANATOMY, -1e30).astype(kind)
    values[0] = np.asarray(-2e30, kind)
    elements = {
        f"{prefix}FloatPixelPaddingValue": -1e30,
        f"{prefix}FloatPixelPaddingRangeLimit": -3e30,
    }
    check(decode_dicom(write(values, keyword=f"{prefix}FloatPixelData", elements=elements), 0, limits))


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("value", [0, 65535])
@pytest.mark.parametrize("share", [0.2, 0.8])
def test_padding_moves_no_percentile_at_the_dark_end(
    write: Callable[..., bytes], limits: ImageLimits, interpretation: str, value: int, share: float
) -> None:
    random = np.random.default_rng(0)
    anatomy = random.integers(1000, 60_000, (100, 100)).astype("<u2")
    outside = random.random(anatomy.shape) < share
    cells = np.where(outside, value, anatomy).astype("<u2")
    film = decode_dicom(write(cells, interpretation=interpretation, elements={"PixelPaddingValue": value}), 0, limits)
    dark = 99.5 if film.inverted else 0.5
    got, wanted = np.percentile(film.levels, dark), np.percentile(anatomy[~outside], dark)
    assert abs(got - wanted) < 60  # neighbours among the levels of 2,000 pixels are 30 apart
    np.testing.assert_array_equal(film.levels[~outside], anatomy[~outside])


def test_nothing_but_padding_is_refused(write: Callable[..., bytes], limits: ImageLimits) -> None:
    content = write(np.full((4, 4), 7, "<u2"), elements={"PixelPaddingValue": 7})
    with pytest.raises(ImageError, match="PixelPaddingValue"):
        decode_dicom(content, 0, limits)


@given(st.integers(-32768, 32767), st.booleans(), st.integers(1, 16))
def test_a_film_without_padding_pixels_stays_as_it_is(
    write: Callable[..., bytes], limits: ImageLimits, value: int, signed: bool, stored: int
) -> None:
    low = -(2 ** (stored - 1)) if signed else 0
    values = np.arange(low, low + min(2**stored, 16)).astype("<i2" if signed else "<u2")[np.newaxis]
    kept = values[values.astype(int) % 65536 != value % 65536][np.newaxis]
    if not kept.size:
        return
    content = write(
        kept, stored=stored, signed=signed, elements={"PixelPaddingValue": value if signed else value % 65536}
    )
    film = decode_dicom(content, 0, limits)
    if NOTE not in film.notes:
        np.testing.assert_array_equal(film.levels, kept)
    else:  # a signed value of few bits, coded without its sign
        assert signed
        assert value % 2**16 < 2**stored


def test_colour_has_no_padding(write: Callable[..., bytes], limits: ImageLimits) -> None:
    colours = np.zeros((2, 2, 3), np.uint8)
    colours[0] = 9
    film = decode_dicom(write(colours, interpretation="RGB", planar=0, elements={"PixelPaddingValue": 0}), 0, limits)
    assert film.notes == ("colour was converted to grey",)
