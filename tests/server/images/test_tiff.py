"""TIFF files in every form that has lost depth or turned over in some reader."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image
from tests.server.images.tiffs import (
    BLACK_IS_ZERO,
    DEFLATE,
    FLOAT,
    KINDS,
    NONE,
    PALETTE,
    RANDOM,
    RGB,
    UNSIGNED,
    WHITE_IS_ZERO,
    grey_tiff,
    levels_over_the_whole_range,
    tiff,
)

from medxgan.server.errors import ImageError
from medxgan.server.images.decoding import with_stated_spacing
from medxgan.server.images.film import Film, PixelSpacing


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("photometric", [BLACK_IS_ZERO, WHITE_IS_ZERO])
@pytest.mark.parametrize("compression", [NONE, DEFLATE])
def test_grey_keeps_depth_sign_and_side(
    read, kind: str, order: str, big: bool, photometric: int, compression: int
) -> None:
    values = levels_over_the_whole_range(kind)
    film = read(grey_tiff(values, order, 2, compression, big=big, photometric=photometric))
    wanted = values.astype(np.float64)
    if film.notes:  # 64 bits: more than single precision adds up
        assert kind in ("u8", "i8")
        wanted = (wanted - wanted.min()) / np.ptp(wanted) * 65535
    np.testing.assert_allclose(film.levels, wanted, rtol=1e-6, atol=0.01 if film.notes else 0)
    assert film.inverted == (photometric == WHITE_IS_ZERO)


@pytest.mark.parametrize("kind", ["u4", "i4", "f8"])
def test_a_small_contrast_on_a_large_offset_is_kept(read, kind: str) -> None:
    """Single precision has steps of 256 at 2^32: a picture of 4,096 levels would come out with 16."""
    ramp = np.arange(4096).reshape(64, 64)
    film = read(grey_tiff((2**30 * (3 if kind == "u4" else 1) + ramp).astype(kind)))
    np.testing.assert_allclose(film.levels, ramp / 4095 * 65535, atol=0.01)
    assert any("single precision" in note for note in film.notes)


@pytest.mark.parametrize("bits", [1, 2, 4, 12])
@pytest.mark.parametrize("photometric", [BLACK_IS_ZERO, WHITE_IS_ZERO])
@pytest.mark.parametrize("order", ["<", ">"])
def test_packed_bits(read, bits: int, photometric: int, order: str) -> None:
    values = RANDOM.integers(0, 2**bits, (5, 7))
    rows = [
        np.packbits([int(bit) for value in row for bit in f"{value:0{bits}b}"]).tobytes() for row in values
    ]  # each row begins with a byte
    film = read(tiff([b"".join(rows)], 5, 7, bits=bits, photometric=photometric, order=order))
    np.testing.assert_array_equal(film.levels, values)
    assert film.inverted == (photometric == WHITE_IS_ZERO)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_colour_keeps_its_depth(read, kind: str, order: str) -> None:
    colours = levels_over_the_whole_range(kind)[:, :6].reshape(3, 4, 3)
    stored = colours.astype(colours.dtype.newbyteorder(order)).tobytes()
    sample_format = FLOAT if kind == "f4" else UNSIGNED
    film = read(
        tiff(
            [stored],
            3,
            4,
            bits=colours.itemsize * 8,
            sample_format=sample_format,
            photometric=RGB,
            samples=3,
            order=order,
        )
    )
    np.testing.assert_allclose(film.levels, colours @ np.array([0.299, 0.587, 0.114]), rtol=1e-5, atol=1e-4)
    assert film.notes == ("colour was converted to grey",)


def test_colour_by_planes(read) -> None:
    colours = RANDOM.integers(0, 256, (3, 4, 3), np.uint8)
    planes = [np.ascontiguousarray(colours[..., channel]).tobytes() for channel in range(3)]
    film = read(tiff(planes, 3, 4, photometric=RGB, samples=3, tags={284: (3, [2]), 278: (4, [3])}))
    np.testing.assert_allclose(film.levels, colours @ np.array([0.299, 0.587, 0.114]), rtol=1e-6)


@pytest.mark.parametrize("extra", [1, 2])
def test_transparency_goes(read, extra: int) -> None:
    values = RANDOM.integers(0, 256, (3, 4, 2), np.uint8)
    film = read(tiff([values.tobytes()], 3, 4, samples=2, tags={338: (3, [extra])}))
    np.testing.assert_array_equal(film.levels, values[..., 0])
    assert film.notes == ("transparency was dropped",)
    with pytest.raises(ImageError, match="beside transparency"):
        read(tiff([values.tobytes()], 3, 4, samples=2, tags={338: (3, [0])}))


@pytest.mark.parametrize("bits", [4, 8])
def test_a_palette(read, bits: int) -> None:
    places = RANDOM.integers(0, 2**bits, (4, 6))
    stored = np.packbits([int(bit) for value in places.ravel() for bit in f"{value:0{bits}b}"]).tobytes()
    greys = [int(value) for value in RANDOM.permutation(2**bits) * 200]
    grey = read(tiff([stored], 4, 6, bits=bits, photometric=PALETTE, tags={320: (3, greys * 3)}))
    np.testing.assert_array_equal(grey.levels, np.array(greys)[places])
    assert grey.notes == ()
    red = [0] * 2**bits
    colour = read(tiff([stored], 4, 6, bits=bits, photometric=PALETTE, tags={320: (3, red + greys * 2)}))
    np.testing.assert_allclose(colour.levels, np.array(greys)[places] * 0.701, rtol=1e-5)
    assert colour.notes == ("colour was converted to grey",)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "group4", "jpeg"])
def test_what_pillow_compresses(read, compression: str) -> None:
    smooth = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8)
    picture = Image.fromarray(smooth > 40) if compression == "group4" else Image.fromarray(smooth)
    file = io.BytesIO()
    picture.save(file, "TIFF", compression=compression)
    film = read(file.getvalue())
    wanted = (smooth > 40) if compression == "group4" else smooth
    # Pillow writes two levels as WhiteIsZero where the compression comes from fax.
    shown = 1 - film.levels if film.inverted else film.levels
    np.testing.assert_allclose(shown, wanted, atol=3 if compression == "jpeg" else 0)


def test_cmyk_and_a_jpeg_of_colour(read) -> None:
    smooth = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8)
    for mode, options in (("CMYK", {}), ("RGB", {"compression": "jpeg"})):
        file = io.BytesIO()
        Image.fromarray(smooth).convert(mode).save(file, "TIFF", **options)
        film = read(file.getvalue())
        assert film.notes == ("colour was converted to grey",)
        np.testing.assert_allclose(film.levels, smooth, atol=4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_its_orientation_is_respected(read, orientation: int) -> None:
    values = RANDOM.integers(0, 256, (5, 7), np.uint8)
    file = io.BytesIO(grey_tiff(values, tags={274: (3, [orientation])}))
    film = read(file.getvalue())
    assert film.orientation == orientation
    assert film.sent_shape == (5, 7)
    upright = {
        1: values,
        2: np.fliplr(values),
        3: np.rot90(values, 2),
        4: np.flipud(values),
        5: values.T,
        6: np.rot90(values, -1),
        7: np.rot90(values, 2).T,
        8: np.rot90(values),
    }[orientation]
    np.testing.assert_array_equal(film.levels, upright)
    assert film.levels.flags.c_contiguous
    assert ExifTags.Base.Orientation == 274


def test_pixels_that_are_not_square(read) -> None:
    values = np.zeros((4, 4), np.uint8)

    def with_resolution(across: int, down: int) -> Film:
        content = grey_tiff(values)
        # A rational is two numbers of four bytes: written as such behind the file.
        tags = {282: (4, [across, 1]), 283: (4, [down, 1])}
        content = grey_tiff(values, tags=tags)
        for tag in (282, 283):
            entry = struct.pack("<HHI", tag, 4, 2)
            content = content.replace(entry, struct.pack("<HHI", tag, 5, 1))
        return read(content)

    assert with_resolution(200, 100).pixel_aspect == 2
    assert any("not square" in note for note in with_resolution(200, 100).notes)
    assert with_resolution(72, 72).pixel_aspect == 1
    assert with_resolution(0, 72).pixel_aspect == 1
    assert with_resolution(10_000, 1).pixel_aspect == 1
    assert any("not heeded" in note for note in with_resolution(10_000, 1).notes)
    stated = with_stated_spacing(with_resolution(200, 100), PixelSpacing(1, 1))
    assert (stated.pixel_aspect, stated.notes) == (1, ())


def test_of_several_pages_one_is_asked_for(read) -> None:
    file = io.BytesIO()
    pages = RANDOM.integers(0, 65536, (3, 5, 7), np.uint16)
    with tifffile.TiffWriter(file) as writer:
        for page in pages:
            writer.write(page, contiguous=False, metadata=None)
    with pytest.raises(ImageError, match="expected 1 to 3") as refusal:
        read(file.getvalue())
    assert refusal.value.field == "image.frame"
    film = read(file.getvalue(), 2)
    np.testing.assert_array_equal(film.levels, pages[1])
    assert film.frame == 2
    with pytest.raises(ImageError, match="expected 1 to 3, got 4"):
        read(file.getvalue(), 4)


def test_a_thumbnail_is_no_page(read) -> None:
    file = io.BytesIO()
    values = RANDOM.integers(0, 65536, (8, 8), np.uint16)
    with tifffile.TiffWriter(file) as writer:
        writer.write(values, metadata=None)
        writer.write(values[::2, ::2], subfiletype=1, metadata=None)
    film = read(file.getvalue())
    np.testing.assert_array_equal(film.levels, values)
    assert film.frame == 0


def test_rows_of_bits_that_are_packed_and_compressed(read) -> None:
    """Twelve bits of a value, five values of a row: seven and a half bytes, filled up to eight."""
    values = RANDOM.integers(0, 4096, (9, 5), np.uint16)
    rows = [int("".join(f"{value:012b}" for value in row).ljust(64, "0"), 2).to_bytes(8, "big") for row in values]
    film = read(tiff([zlib.compress(b"".join(rows))], 9, 5, bits=12, compression=DEFLATE))
    np.testing.assert_array_equal(film.levels, values)
    with pytest.raises(ImageError, match="strips or tiles"):
        read(tiff([zlib.compress(b"".join(rows[:8]))], 9, 5, bits=12, compression=DEFLATE))
