"""Files to grey levels: as they are stored, shown as they ask to be."""

import io
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file

from medxgan.client.geometry import Box, Geometry
from medxgan.client.vocabulary import Orientation
from medxgan.web.decoding import decode
from medxgan.web.errors import FilmError
from medxgan.web.upright import upright

PIXELS = 50_000_000
DATA = Path(str(files("data_store") / "data"))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_levels_are_kept(kind: str, dtype: type) -> None:
    levels = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, (37, 23)).astype(dtype)
    film = decode(encoded(Image.fromarray(levels), kind), maximum_pixels=PIXELS)
    assert film.levels.dtype == dtype
    np.testing.assert_array_equal(film.levels, levels)
    assert levels.min() <= film.low < film.high <= levels.max()


def test_colour_becomes_grey_and_a_turned_picture_says_so() -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    film = decode(encoded(Image.new("RGB", (30, 20), (255, 0, 0)), "PNG", exif=exif), maximum_pixels=PIXELS)
    assert (film.levels.shape, film.orientation) == ((20, 30), 6)
    assert np.unique(film.levels).tolist() == [76]


def test_ct_reads_in_hounsfield_units() -> None:
    film = decode(Path(get_testdata_file("CT_small.dcm")).read_bytes(), maximum_pixels=PIXELS)
    from pydicom import dcmread

    dataset = dcmread(get_testdata_file("CT_small.dcm"))
    expected = dataset.pixel_array.astype(float) * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    np.testing.assert_allclose(film.levels * film.slope + film.intercept, expected)
    assert film.unit == "HU"


@pytest.mark.parametrize("name", ["RG1_J2KR.dcm", "RG3_J2KR.dcm"])
def test_compressed_films_are_the_same_as_others(name: str) -> None:
    film = decode((DATA / name).read_bytes(), maximum_pixels=PIXELS)
    plain = decode((DATA / f"{name[:3]}_UNCR.dcm").read_bytes(), maximum_pixels=PIXELS)
    np.testing.assert_array_equal(film.levels, plain.levels)
    assert film.inverted == plain.inverted


@pytest.mark.parametrize("content", [b"\0" * 128 + b"DICM" + b"\1" * 200, (DATA / "RG1_UNCR.dcm").read_bytes()[:5000]])
def test_a_damaged_file_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(FilmError):
        decode(content, maximum_pixels=PIXELS)


def test_a_film_is_too_large_before_it_is_decoded() -> None:
    with pytest.raises(FilmError, match="pixels"):
        decode((DATA / "RG1_UNCR.dcm").read_bytes(), maximum_pixels=1_000_000)


@given(st.sampled_from(list(Orientation)), st.integers(1, 5), st.integers(1, 5))
def test_upright_agrees_with_the_client_s_geometry(orientation: Orientation, rows: int, columns: int) -> None:
    """A map of the size of the upright film, laid back on the film as it was sent, is the film."""
    levels = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    turned = upright(levels, 1 + list(Orientation).index(orientation))
    geometry = Geometry(rows, columns, orientation, Box(0, 0, *turned.shape), None, 1.0, 0)
    np.testing.assert_allclose(geometry.lay_on_film(turned), levels)


def test_a_deflated_file_is_refused_before_it_is_inflated() -> None:
    from pydicom import dcmread
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    dataset = dcmread(get_testdata_file("CT_small.dcm"))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    with pytest.raises(FilmError, match="deflated"):
        decode(content.getvalue(), maximum_pixels=PIXELS)
