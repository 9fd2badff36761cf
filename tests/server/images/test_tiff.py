"""TIFF files written by hand, byte by byte, in every form that has lost depth or turned over in some reader."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from medxgan.server.errors import ImageError, ImageTooLargeError, MedxganError
from medxgan.server.images.decoding import with_stated_spacing
from medxgan.server.images.encoded.decoding import decode_encoded
from medxgan.server.images.film import Film, PixelSpacing
from medxgan.server.images.limits import ImageLimits

_random = np.random.default_rng(0)
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3
NONE, DEFLATE = 1, 8
KINDS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]


def tiff(
    strips: list[bytes],
    height: int,
    width: int,
    *,
    bits: int = 8,
    sample_format: int = UNSIGNED,
    photometric: int = BLACK_IS_ZERO,
    samples: int = 1,
    compression: int = NONE,
    order: str = "<",
    big: bool = False,
    tags: dict[int, tuple[int, list[int]]] | None = None,
    pages: int = 1,
) -> bytes:
    """A TIFF file with `pages` times the same page; `tags` are more tags, with their type and values."""
    code, size = {1: "B", 3: "H", 4: "I", 16: "Q"}, {1: 1, 3: 2, 4: 4, 16: 8}
    rows = -(-height // len(strips))
    offset_kind, pointer = (16, "Q") if big else (4, "I")
    content = (b"II" if order == "<" else b"MM") + (
        struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0)
    )
    link = len(content) - struct.calcsize(pointer)
    places = []
    for strip in strips:
        places.append(len(content))
        content += strip + bytes(len(strip) % 2)
    for _ in range(pages):
        entries = {
            256: (4, [width]),
            257: (4, [height]),
            258: (3, [bits] * samples),
            259: (3, [compression]),
            262: (3, [photometric]),
            273: (offset_kind, places),
            277: (3, [samples]),
            278: (4, [rows]),
            279: (offset_kind, [len(strip) for strip in strips]),
            339: (3, [sample_format] * samples),
        } | (tags or {})
        body = b""
        for tag, (kind, values) in sorted(entries.items()):
            packed = struct.pack(f"{order}{len(values)}{code[kind]}", *values)
            assert len(packed) == size[kind] * len(values)
            if len(packed) > struct.calcsize(pointer):
                at = len(content)
                content += packed + bytes(len(packed) % 2)
                packed = struct.pack(order + pointer, at)
            body += struct.pack(order + "HH" + pointer, tag, kind, len(values)) + packed.ljust(
                struct.calcsize(pointer), b"\0"
            )
        directory = len(content)
        content = content[:link] + struct.pack(order + pointer, directory) + content[link + struct.calcsize(pointer) :]
        content += struct.pack(order + ("Q" if big else "H"), len(entries)) + body
        link = len(content)
        content += bytes(struct.calcsize(pointer))
    return content


def grey_tiff(values: np.ndarray, order: str = "<", strips: int = 1, compression: int = NONE, **given: object) -> bytes:
    stored = values.astype(values.dtype.newbyteorder(order))
    parts = [part.tobytes() for part in np.array_split(stored, strips)]
    return tiff(
        [zlib.compress(part) if compression == DEFLATE else part for part in parts],
        *values.shape,
        bits=values.dtype.itemsize * 8,
        sample_format={"u": UNSIGNED, "i": SIGNED, "f": FLOAT}[values.dtype.kind],
        order=order,
        compression=compression,
        **given,
    )


def levels_over_the_whole_range(kind: str) -> np.ndarray:
    if kind.startswith("f"):
        return _random.normal(0, 100, (6, 7)).astype(kind)
    limits = np.iinfo(kind)
    return _random.integers(limits.min, limits.max, (6, 7), kind, endpoint=True)


@pytest.fixture(scope="module")
def read(limits: ImageLimits):
    def decode(content: bytes, frame: int = 0) -> Film:
        return decode_encoded(content, frame, limits)

    return decode


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
    values = _random.integers(0, 2**bits, (5, 7))
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
    colours = _random.integers(0, 256, (3, 4, 3), np.uint8)
    planes = [np.ascontiguousarray(colours[..., channel]).tobytes() for channel in range(3)]
    film = read(tiff(planes, 3, 4, photometric=RGB, samples=3, tags={284: (3, [2]), 278: (4, [3])}))
    np.testing.assert_allclose(film.levels, colours @ np.array([0.299, 0.587, 0.114]), rtol=1e-6)


@pytest.mark.parametrize("extra", [1, 2])
def test_transparency_goes(read, extra: int) -> None:
    values = _random.integers(0, 256, (3, 4, 2), np.uint8)
    film = read(tiff([values.tobytes()], 3, 4, samples=2, tags={338: (3, [extra])}))
    np.testing.assert_array_equal(film.levels, values[..., 0])
    assert film.notes == ("transparency was dropped",)
    with pytest.raises(ImageError, match="beside transparency"):
        read(tiff([values.tobytes()], 3, 4, samples=2, tags={338: (3, [0])}))


@pytest.mark.parametrize("bits", [4, 8])
def test_a_palette(read, bits: int) -> None:
    places = _random.integers(0, 2**bits, (4, 6))
    stored = np.packbits([int(bit) for value in places.ravel() for bit in f"{value:0{bits}b}"]).tobytes()
    greys = [int(value) for value in _random.permutation(2**bits) * 200]
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
    values = _random.integers(0, 256, (5, 7), np.uint8)
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
    pages = _random.integers(0, 65536, (3, 5, 7), np.uint16)
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


def test_images_that_have_no_page_are_refused(read) -> None:
    """ImageJ writes a large stack as one page, with the others' pixels behind it."""
    file = io.BytesIO()
    tifffile.imwrite(file, _random.integers(0, 255, (3, 5, 7), np.uint8), imagej=True)
    content = bytearray(file.getvalue())
    first = struct.unpack("<I", content[4:8])[0] if content[:2] == b"II" else struct.unpack(">I", content[4:8])[0]
    order = "<" if content[:2] == b"II" else ">"
    (entries,) = struct.unpack_from(order + "H", content, first)
    struct.pack_into(order + "I", content, first + 2 + 12 * entries, 0)
    with pytest.raises(ImageError, match="a page for each image"):
        read(bytes(content), 1)


def test_a_thumbnail_is_no_page(read) -> None:
    file = io.BytesIO()
    values = _random.integers(0, 65536, (8, 8), np.uint16)
    with tifffile.TiffWriter(file) as writer:
        writer.write(values, metadata=None)
        writer.write(values[::2, ::2], subfiletype=1, metadata=None)
    film = read(file.getvalue())
    np.testing.assert_array_equal(film.levels, values)
    assert film.frame == 0


@pytest.mark.parametrize("change", ["a row more", "a strip beyond the file", "no strip", "cut"])
def test_strips_that_are_not_what_the_page_states(read, change: str) -> None:
    values = _random.integers(0, 256, (6, 8), np.uint8)
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
    values = _random.integers(0, 256, (6, 8), np.uint8)
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
    levels = _random.integers(0, 256, (64, 48), np.uint8)
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
    colour = _random.integers(0, 256, (*shape, 3), np.uint8)
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


def test_rows_of_bits_that_are_packed_and_compressed(read) -> None:
    """Twelve bits of a value, five values of a row: seven and a half bytes, filled up to eight."""
    values = _random.integers(0, 4096, (9, 5), np.uint16)
    rows = [int("".join(f"{value:012b}" for value in row).ljust(64, "0"), 2).to_bytes(8, "big") for row in values]
    film = read(tiff([zlib.compress(b"".join(rows))], 9, 5, bits=12, compression=DEFLATE))
    np.testing.assert_array_equal(film.levels, values)
    with pytest.raises(ImageError, match="strips or tiles"):
        read(tiff([zlib.compress(b"".join(rows[:8]))], 9, 5, bits=12, compression=DEFLATE))
