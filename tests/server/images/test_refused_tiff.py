"""TIFF files that say one thing and hold another, or are too large, or are no picture."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from tests.server.images.tiffs import DEFLATE, NONE, RANDOM, grey_tiff, levels_over_the_whole_range, tiff

from medxgan.server.errors import ImageError, ImageTooLargeError, MedxganError


def test_images_that_have_no_page_are_refused(read) -> None:
    """ImageJ writes a large stack as one page, with the others' pixels behind it."""
    file = io.BytesIO()
    tifffile.imwrite(file, RANDOM.integers(0, 255, (3, 5, 7), np.uint8), imagej=True)
    content = bytearray(file.getvalue())
    first = struct.unpack("<I", content[4:8])[0] if content[:2] == b"II" else struct.unpack(">I", content[4:8])[0]
    order = "<" if content[:2] == b"II" else ">"
    (entries,) = struct.unpack_from(order + "H", content, first)
    struct.pack_into(order + "I", content, first + 2 + 12 * entries, 0)
    with pytest.raises(ImageError, match="a page for each image"):
        read(bytes(content), 1)


@pytest.mark.parametrize("change", ["a row more", "a strip beyond the file", "no strip", "cut"])
def test_strips_that_are_not_what_the_page_states(read, change: str) -> None:
    values = RANDOM.integers(0, 256, (6, 8), np.uint8)
    content = {
        "a row more": tiff([values.tobytes()], 5, 8),
        "a strip beyond the file": grey_tiff(values, tags={279: (4, [10_000])}),
        "no strip": grey_tiff(values, tags={279: (4, [0])}),
        "cut": tiff([values.tobytes()], 7, 8),
    }[change]
    with pytest.raises(ImageError) as refusal:
        read(content)
    assert refusal.value.field == "image.encoded"


def test_a_strip_that_is_compressed_too_short_is_refused(read) -> None:
    values = RANDOM.integers(0, 256, (6, 8), np.uint8)
    with pytest.raises(ImageError):
        read(tiff([zlib.compress(values[:3].tobytes())], 6, 8, compression=DEFLATE))


@pytest.mark.parametrize("photometric", [4, 8, 32803, 999])
def test_what_is_neither_grey_nor_colour_is_refused(read, photometric: int) -> None:
    with pytest.raises(ImageError):
        read(grey_tiff(np.zeros((4, 4), np.uint8), photometric=photometric))


def test_not_a_number_is_refused(read) -> None:
    with pytest.raises(ImageError, match="finite"):
        read(grey_tiff(np.full((4, 4), np.nan, np.float32)))


def test_complex_numbers_are_refused(read) -> None:
    with pytest.raises(ImageError):
        read(tiff([bytes(128)], 4, 4, bits=64, sample_format=6))


def test_size_is_limited_before_pixels_are_touched(read) -> None:
    with pytest.raises(ImageTooLargeError, match="5000 x 8"):
        read(tiff([b"x"], 5000, 8))
    with pytest.raises(ImageTooLargeError, match="bytes"):
        read(tiff([b"x"], 2000, 2000, bits=64))


@pytest.mark.parametrize("compression", [NONE, DEFLATE])
@given(changes=st.lists(st.tuples(st.integers(0, 2**12), st.integers(0, 255)), max_size=4), kept=st.floats(0.3, 1))
@pytest.mark.filterwarnings("ignore")  # of tifffile, of what it finds in damaged files
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    read, compression: int, changes: list[tuple[int, int]], kept: float
) -> None:
    damaged = bytearray(grey_tiff(levels_over_the_whole_range("u2"), strips=2, compression=compression))
    for place, value in changes:
        damaged[place % len(damaged)] = value
    try:
        film = read(bytes(damaged[: round(kept * len(damaged))]))
    except MedxganError:
        return
    assert film.levels.ndim == 2
    assert np.isfinite(film.levels).all()


LOSSLESS = ["zlib", "lzw", "packbits", "zstd", "lzma", "jpegxl", "jpeg2000"]


def with_height(content: bytes, height: int) -> bytes:
    """A file whose header states another height."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        tag = file.pages[0].tags["ImageLength"]
        place, kind = tag.valueoffset, "<H" if tag.dtype == 3 else "<I"
    changed = bytearray(content)
    struct.pack_into(kind, changed, place, height)
    return bytes(changed)


@pytest.mark.parametrize("compression", [*LOSSLESS, "jpeg", "webp"])
@pytest.mark.parametrize("rows", [64, 16])
@pytest.mark.filterwarnings("ignore")  # tifffile's, of strips that are missing
def test_compressed_data_of_more_or_fewer_rows_are_refused(read, compression: str, rows: int) -> None:
    """tifffile leaves out what is beyond the last row, and fills up with zeros what is missing."""
    levels = RANDOM.integers(0, 256, (64, 48), np.uint8)
    picture = np.stack([levels] * 3, -1) if compression == "webp" else levels
    file = io.BytesIO()
    tifffile.imwrite(file, picture, compression=compression, rowsperstrip=rows, metadata=None)
    film = read(file.getvalue())
    if compression in LOSSLESS:
        np.testing.assert_array_equal(film.levels, levels)
    for height in (40, 60, 63, 65, 70, 90):
        with pytest.raises(ImageError, match="strips or tiles"):
            read(with_height(file.getvalue(), height))


@pytest.mark.parametrize("compression", [*LOSSLESS, None])
@pytest.mark.parametrize("shape", [(64, 48), (60, 50), (5, 100)])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_tiles_and_planes_are_whole_where_the_picture_is(read, compression: str, shape, planar: str) -> None:
    colour = RANDOM.integers(0, 256, (*shape, 3), np.uint8)
    stored = np.moveaxis(colour, -1, 0) if planar == "separate" else colour
    layouts = [{"tile": (16, 32)}, {"rowsperstrip": 7}, {}]
    films = []
    for layout in layouts:
        file = io.BytesIO()
        options = {"photometric": "rgb", "planarconfig": planar, "compression": compression, "metadata": None}
        tifffile.imwrite(file, np.ascontiguousarray(stored), **layout, **options)
        films.append(read(file.getvalue()).levels)
    np.testing.assert_array_equal(films[0], films[1])
    np.testing.assert_array_equal(films[0], films[2])
    np.testing.assert_allclose(films[0], colour @ np.array([0.299, 0.587, 0.114]), atol=1e-3)  # single precision
