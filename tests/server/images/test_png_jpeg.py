"""PNG and JPEG files."""

import io
import resource
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from medxgan.server.errors import ImageError, ImageTooLargeError, MedxganError
from medxgan.server.images.encoded.decoding import decode_encoded
from medxgan.server.images.limits import ImageLimits

LIMITS = ImageLimits(maximum_side=4096, maximum_pixels=2**22, maximum_decompressed_bytes=2**24)

_random = np.random.default_rng(0)
GREY = _random.integers(0, 256, (20, 30), np.uint8)
DEEP = _random.integers(0, 65536, (20, 30), np.uint16)
SMOOTH = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8)

TURNED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
}
"""What each EXIF orientation asks of the stored rows and columns."""


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})])
@pytest.mark.parametrize("levels", [GREY, DEEP], ids=["8 bits", "16 bits"])
def test_lossless_grey_keeps_every_level(form: str, options: dict[str, object], levels: np.ndarray) -> None:
    picture = decode_encoded(encode(Image.fromarray(levels), form, **options), 0, LIMITS)
    np.testing.assert_array_equal(picture.levels, levels)
    assert picture.notes == ()
    assert not picture.inverted


def test_a_jpeg_comes_close() -> None:
    picture = decode_encoded(encode(Image.fromarray(SMOOTH), "JPEG", quality=95), 0, LIMITS)
    assert np.abs(picture.levels - SMOOTH).max() <= 3  # quantization at quality 95 on a smooth ramp


def test_big_endian_and_signed_and_float_tiffs_keep_their_levels() -> None:
    signed = (DEEP.astype(np.int32) - 32768).astype(np.int32)
    real = DEEP.astype(np.float32) / 7
    big = encode(Image.frombytes("I;16B", DEEP.shape[::-1], DEEP.astype(">u2").tobytes()), "TIFF")
    np.testing.assert_array_equal(decode_encoded(big, 0, LIMITS).levels, DEEP)
    np.testing.assert_array_equal(decode_encoded(encode(Image.fromarray(signed), "TIFF"), 0, LIMITS).levels, signed)
    np.testing.assert_array_equal(decode_encoded(encode(Image.fromarray(real), "TIFF"), 0, LIMITS).levels, real)


@pytest.mark.parametrize("levels", [GREY, DEEP], ids=["8 bits", "16 bits"])
def test_white_is_zero_means_high_is_dark(levels: np.ndarray) -> None:
    picture = decode_encoded(white_is_zero(levels), 0, LIMITS).in_single_precision()
    brightness = -picture.levels if picture.inverted else picture.levels
    assert np.corrcoef(brightness.ravel(), levels.ravel())[0, 1] == pytest.approx(-1)


def white_is_zero(levels: np.ndarray) -> bytes:
    """The TIFF of these stored levels with PhotometricInterpretation 0, which Pillow does not write itself."""
    content = encode(Image.fromarray(levels), "TIFF")
    black_is_zero, white = (struct.pack("<HHIHH", 262, 3, 1, value, 0) for value in (1, 0))
    assert content.count(black_is_zero) == 1
    return content.replace(black_is_zero, white)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", TURNED)
def test_exif_orientation_is_respected(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture = decode_encoded(encode(Image.fromarray(GREY), form, exif=exif), 0, LIMITS)
    np.testing.assert_array_equal(picture.levels, TURNED[orientation](GREY))
    assert bool(picture.notes) == (orientation != 1)


def test_a_jpeg_is_turned_too() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    assert decode_encoded(encode(Image.fromarray(SMOOTH), "JPEG", exif=exif), 0, LIMITS).levels.shape == (48, 32)


@pytest.mark.parametrize(
    ("mode", "form", "notes"),
    [
        ("RGB", "PNG", ("colour was converted to grey",)),
        ("RGB", "JPEG", ("colour was converted to grey",)),
        ("RGB", "TIFF", ("colour was converted to grey",)),
        ("CMYK", "JPEG", ("colour was converted to grey",)),
        ("CMYK", "TIFF", ("colour was converted to grey",)),
        ("P", "PNG", ()),
        ("RGBA", "PNG", ("transparency was dropped", "colour was converted to grey")),
        ("LA", "PNG", ("transparency was dropped",)),
        ("LA", "TIFF", ("transparency was dropped",)),
    ],
)
def test_colour_and_transparency_go_and_are_spoken_of(mode: str, form: str, notes: tuple[str, ...]) -> None:
    picture = decode_encoded(encode(Image.fromarray(SMOOTH).convert(mode), form), 0, LIMITS)
    assert picture.notes == notes
    assert np.abs(picture.levels - SMOOTH).mean() < 3  # grey in any of the modes is still that grey


def test_black_and_white_is_0_and_255() -> None:
    picture = decode_encoded(encode(Image.fromarray(GREY > 127), "PNG"), 0, LIMITS)
    np.testing.assert_array_equal(picture.levels, np.where(GREY > 127, 255, 0))


def test_a_tiff_with_a_nan_is_refused() -> None:
    with pytest.raises(ImageError, match="finite"):
        decode_encoded(encode(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"), 0, LIMITS)


def test_a_file_of_several_pictures_is_refused() -> None:
    content = encode(Image.fromarray(GREY), "PNG", save_all=True, append_images=[Image.fromarray(255 - GREY)])
    for frame in (0, 1):
        with pytest.raises(ImageError, match="one picture"):
            decode_encoded(content, frame, LIMITS)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_there_is_no_second_frame(form: str) -> None:
    with pytest.raises(ImageError, match="expected 1 to 1, got 2") as refusal:
        decode_encoded(encode(Image.fromarray(GREY), form), 2, LIMITS)
    assert refusal.value.field == "image.frame"


def png(values: np.ndarray, depth: int, colour_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file written by hand: rows [H, bytes] behind the filter type 0."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = values.shape[:2]
    if depth < 8:
        rows = [np.packbits([int(b) for v in row for b in f"{v:0{depth}b}"]).tobytes() for row in values]
    else:
        rows = [row.astype(">u2" if depth == 16 else "u1").tobytes() for row in values]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_of_every_depth(depth: int) -> None:
    values = _random.integers(0, 2**depth, (5, 7))
    film = decode_encoded(png(values, depth, 0), 0, LIMITS)
    scale = 255 / (2**depth - 1) if depth < 8 else 1  # few levels are spread over 0 to 255
    np.testing.assert_allclose(film.levels, values * scale, atol=1e-4)
    assert film.notes == ()


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("colour_type", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_colour_and_transparency_keep_their_depth(depth: int, colour_type: int, samples: int) -> None:
    values = _random.integers(0, 2**depth, (5, 7, samples))
    film = decode_encoded(png(values, depth, colour_type), 0, LIMITS)
    wanted = values[..., :3] @ np.array([0.299, 0.587, 0.114]) if samples > 2 else values[..., 0]
    np.testing.assert_allclose(film.levels, wanted, rtol=1e-5)
    assert ("transparency was dropped" in film.notes) == (samples in (2, 4))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_palette_of_greys_is_grey_by_its_order(depth: int) -> None:
    places = _random.integers(0, 2**depth, (5, 7))
    greys = _random.permutation(256)[: 2**depth].astype(np.uint8)
    film = decode_encoded(png(places, depth, 3, (b"PLTE", np.repeat(greys, 3).tobytes())), 0, LIMITS)
    np.testing.assert_array_equal(film.levels, greys[places])
    assert film.notes == ()


def test_a_level_that_is_transparent_stays_and_is_said() -> None:
    film = decode_encoded(png(GREY, 8, 0, (b"tRNS", struct.pack(">H", int(GREY[0, 0])))), 0, LIMITS)
    np.testing.assert_array_equal(film.levels, GREY)
    assert film.notes == ("transparency was dropped",)


def test_a_gamma_is_not_applied_and_said() -> None:
    film = decode_encoded(png(GREY, 8, 0, (b"gAMA", struct.pack(">I", 100_000))), 0, LIMITS)
    np.testing.assert_array_equal(film.levels, GREY)
    assert film.notes == ("the gamma that the file states was not applied: grey levels are as stored",)
    assert decode_encoded(png(GREY, 8, 0, (b"gAMA", struct.pack(">I", 45_455))), 0, LIMITS).notes == ()


@pytest.mark.parametrize("unit", [0, 1])
def test_pixels_of_a_png_that_are_not_square(unit: int) -> None:
    film = decode_encoded(png(GREY, 8, 0, (b"pHYs", struct.pack(">IIB", 4000, 2000, unit))), 0, LIMITS)
    assert film.pixel_aspect == pytest.approx(2, rel=1e-3)
    assert len(film.notes) == 1
    assert decode_encoded(png(GREY, 8, 0, (b"pHYs", struct.pack(">IIB", 3000, 3000, unit))), 0, LIMITS).notes == ()


def test_pixels_of_a_jpeg_that_are_not_square() -> None:
    assert decode_encoded(encode(Image.fromarray(SMOOTH), "JPEG", dpi=(300, 100)), 0, LIMITS).pixel_aspect == 3
    assert decode_encoded(encode(Image.fromarray(SMOOTH), "JPEG"), 0, LIMITS).pixel_aspect == 1


@pytest.mark.parametrize("bits", [12, 16])
def test_a_deep_jpeg(bits: int) -> None:
    deep = SMOOTH.astype(np.uint16) * 2 ** (bits - 8)
    options = {"level": 98} if bits == 12 else {"lossless": True}
    film = decode_encoded(imagecodecs.jpeg8_encode(deep, bitspersample=bits, **options), 0, LIMITS)
    assert np.abs(film.levels - deep).max() <= (20 if bits == 12 else 0)  # quantization of 4,096 levels at quality 98


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"not an image",
        encode(Image.fromarray(GREY), "GIF"),
        encode(Image.fromarray(GREY), "BMP"),
        encode(Image.fromarray(GREY), "PNG")[:-200],
        encode(Image.fromarray(GREY), "JPEG")[:-200],
        encode(Image.fromarray(GREY), "TIFF")[:-200],
        encode(Image.fromarray(GREY), "PNG")[:20],
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_what_is_no_whole_picture_is_refused(content: bytes) -> None:
    with pytest.raises(ImageError) as refusal:
        decode_encoded(content, 0, LIMITS)
    assert refusal.value.field == "image.encoded"


def test_a_bomb_is_refused_before_it_unfolds() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(2**24))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageTooLargeError, match="50000 x 50000"):
        decode_encoded(bomb, 0, LIMITS)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # in KiB
    assert grown < 100_000  # unfolded it would be 2,500,000 KB


def test_bytes_are_limited_apart_from_pixels() -> None:
    few_bytes = ImageLimits(maximum_side=4096, maximum_pixels=2**22, maximum_decompressed_bytes=20 * 30)
    assert decode_encoded(encode(Image.fromarray(GREY), "PNG"), 0, few_bytes).levels.shape == (20, 30)
    with pytest.raises(ImageTooLargeError, match="bytes"):
        decode_encoded(encode(Image.fromarray(DEEP), "PNG"), 0, few_bytes)


WHOLE = [
    encode(Image.fromarray(GREY), "PNG"),
    encode(Image.fromarray(DEEP), "PNG"),
    encode(Image.fromarray(GREY).convert("RGB"), "JPEG"),
    encode(Image.fromarray(GREY), "TIFF"),
    encode(Image.fromarray(GREY).convert("RGB"), "TIFF", compression="tiff_lzw"),
]


@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=4),
    st.floats(0.5, 1),
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    content: bytes, changes: list[tuple[int, int]], kept: float
) -> None:
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    try:
        picture = decode_encoded(bytes(damaged[: round(kept * len(damaged))]), 0, LIMITS)
    except MedxganError:
        return
    assert picture.levels.ndim == 2
    assert np.isfinite(picture.levels).all()


def png_of(rows: np.ndarray, height: int, kind: int, bits: int, interlaced: bool = False) -> bytes:
    """A PNG file with these bytes of rows, whose header states a height."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    header = struct.pack(">IIBBBBB", rows.shape[1] * 8 // bits // samples, height, bits, kind, 0, 0, int(interlaced))
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    half = len(data) // 2
    palette = chunk(b"PLTE", bytes(range(256)) * 3) if kind == 3 else b""
    parts = (
        chunk(b"IHDR", header),
        palette,
        chunk(b"IDAT", data[:half]),
        chunk(b"IDAT", data[half:]),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(("kind", "bits"), [(0, 1), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 8), (4, 8), (6, 16)])
def test_a_png_with_more_or_fewer_rows_than_it_says_is_refused(kind: int, bits: int) -> None:
    """Pillow leaves out what is beyond the last row, and fills up with black what is missing."""
    rows = _random.integers(0, 256, (16, 48), np.uint8)
    assert decode_encoded(png_of(rows, 16, kind, bits), 0, LIMITS).levels.shape[0] == 16
    for height in (1, 12, 15, 17, 30):
        with pytest.raises(ImageError, match="more or less"):
            decode_encoded(png_of(rows, height, kind, bits), 0, LIMITS)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (5, 9), (8, 8), (17, 33)])
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_a_png_in_seven_passes_is_whole(shape: tuple[int, int], bits: int) -> None:
    """Every byte of the passes is 0 or 255, so that they need no taking apart here."""
    height, width = shape
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    data = b""
    for row, column, down, across in passes:
        columns, rows = len(range(column, width, across)), len(range(row, height, down))
        if columns:
            data += rows * (b"\0" + b"\xff" * -(-columns * bits // 8))

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    def file(unfolded: bytes) -> bytes:
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 1))
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(unfolded)) + chunk(b"IEND", b"")

    assert (decode_encoded(file(data), 0, LIMITS).levels == (65_535 if bits == 16 else 255)).all()
    with pytest.raises(ImageError):
        decode_encoded(file(data[:-1]), 0, LIMITS)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("part", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_that_was_cut_off_is_refused(deep: bool, part: float, options: dict[str, object]) -> None:
    """libjpeg fills up what is missing, with or without an end marker, and does not say so."""
    levels = (np.add.outer(np.arange(160), np.arange(120)) + _random.integers(0, 8, (160, 120))).clip(0, 255)
    levels = levels.astype(np.uint8)
    if deep:
        whole = imagecodecs.jpeg8_encode(levels.astype(np.uint16) * 16, bitspersample=12, level=95)
    else:
        whole = encode(Image.fromarray(levels), "JPEG", quality=90, **options)
    assert decode_encoded(whole, 0, LIMITS).levels.shape == levels.shape
    assert decode_encoded(whole + bytes(100), 0, LIMITS).levels.shape == levels.shape
    for cut in (whole[: int(len(whole) * part)], whole[: int(len(whole) * part)] + b"\xff\xd9"):
        with pytest.raises(ImageError, match="whole JPEG"):
            decode_encoded(cut, 0, LIMITS)


@pytest.mark.parametrize("height", [170, 400])
def test_a_jpeg_that_states_more_rows_than_it_holds_is_refused(height: int) -> None:
    whole = bytearray(encode(Image.fromarray(_random.integers(0, 256, (160, 120), np.uint8)), "JPEG"))
    place = whole.index(b"\xff\xc0") + 5
    whole[place : place + 2] = height.to_bytes(2, "big")
    with pytest.raises(ImageError, match="less than it states"):
        decode_encoded(bytes(whole), 0, LIMITS)


@pytest.mark.parametrize("orientation", TURNED)
def test_a_jpeg_of_twelve_bits_is_turned_as_its_exif_says(orientation: int) -> None:
    levels = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint16) * 40
    coded = imagecodecs.ljpeg_encode(levels, bitspersample=12)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    segment = b"\xff\xe1" + (len(exif.tobytes()) + 2).to_bytes(2, "big") + exif.tobytes()
    film = decode_encoded(coded[:2] + segment + coded[2:], 0, LIMITS)
    np.testing.assert_array_equal(film.levels, TURNED[orientation](levels))
    np.testing.assert_array_equal(decode_encoded(coded, 0, LIMITS).levels, levels)
