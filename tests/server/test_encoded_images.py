"""PNG, JPEG and TIFF files."""

import io
import resource
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from medxgan.server.errors import ImageError, ImageTooLargeError, MedxganError
from medxgan.server.images.encoded import decode_encoded
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
    picture = decode_encoded(encode(Image.fromarray(levels), form, **options), LIMITS)
    np.testing.assert_array_equal(picture.levels, levels)
    assert picture.notes == ()
    assert not picture.inverted


def test_a_jpeg_comes_close() -> None:
    picture = decode_encoded(encode(Image.fromarray(SMOOTH), "JPEG", quality=95), LIMITS)
    assert np.abs(picture.levels - SMOOTH).max() <= 3  # quantization at quality 95 on a smooth ramp


def test_big_endian_and_signed_and_float_tiffs_keep_their_levels() -> None:
    signed = (DEEP.astype(np.int32) - 32768).astype(np.int32)
    real = DEEP.astype(np.float32) / 7
    big = encode(Image.frombytes("I;16B", DEEP.shape[::-1], DEEP.astype(">u2").tobytes()), "TIFF")
    np.testing.assert_array_equal(decode_encoded(big, LIMITS).levels, DEEP)
    np.testing.assert_array_equal(decode_encoded(encode(Image.fromarray(signed), "TIFF"), LIMITS).levels, signed)
    np.testing.assert_array_equal(decode_encoded(encode(Image.fromarray(real), "TIFF"), LIMITS).levels, real)


@pytest.mark.parametrize("levels", [GREY, DEEP], ids=["8 bits", "16 bits"])
def test_white_is_zero_means_high_is_dark(levels: np.ndarray) -> None:
    picture = decode_encoded(white_is_zero(levels), LIMITS)
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
    picture = decode_encoded(encode(Image.fromarray(GREY), form, exif=exif), LIMITS)
    np.testing.assert_array_equal(picture.levels, TURNED[orientation](GREY))
    assert bool(picture.notes) == (orientation != 1)


def test_a_jpeg_is_turned_too() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    assert decode_encoded(encode(Image.fromarray(SMOOTH), "JPEG", exif=exif), LIMITS).levels.shape == (48, 32)


@pytest.mark.parametrize(
    ("mode", "form", "notes"),
    [
        ("RGB", "PNG", ("colour was converted to grey",)),
        ("RGB", "JPEG", ("colour was converted to grey",)),
        ("RGB", "TIFF", ("colour was converted to grey",)),
        ("CMYK", "JPEG", ("colour was converted to grey",)),
        ("CMYK", "TIFF", ("colour was converted to grey",)),
        ("P", "PNG", ("colour was converted to grey",)),
        ("RGBA", "PNG", ("transparency was dropped", "colour was converted to grey")),
        ("LA", "PNG", ("transparency was dropped",)),
        ("LA", "TIFF", ("transparency was dropped",)),
    ],
)
def test_colour_and_transparency_go_and_are_spoken_of(mode: str, form: str, notes: tuple[str, ...]) -> None:
    picture = decode_encoded(encode(Image.fromarray(SMOOTH).convert(mode), form), LIMITS)
    assert picture.notes == notes
    assert np.abs(picture.levels - SMOOTH).mean() < 3  # grey in any of the modes is still that grey


def test_black_and_white_is_0_and_255() -> None:
    picture = decode_encoded(encode(Image.fromarray(GREY > 127), "PNG"), LIMITS)
    np.testing.assert_array_equal(picture.levels, np.where(GREY > 127, 255, 0))


def test_a_tiff_with_a_nan_is_refused() -> None:
    with pytest.raises(ImageError, match="finite"):
        decode_encoded(encode(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"), LIMITS)


@pytest.mark.parametrize("form", ["TIFF", "PNG"])
def test_a_file_of_several_pictures_is_refused(form: str) -> None:
    content = encode(Image.fromarray(GREY), form, save_all=True, append_images=[Image.fromarray(255 - GREY)])
    with pytest.raises(ImageError, match="one picture"):
        decode_encoded(content, LIMITS)


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
        decode_encoded(content, LIMITS)
    assert refusal.value.field == "image.encoded"


def test_a_bomb_is_refused_before_it_unfolds() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(2**24))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageTooLargeError, match="50000 x 50000"):
        decode_encoded(bomb, LIMITS)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # in KiB
    assert grown < 100_000  # unfolded it would be 2,500,000 KB


def test_bytes_are_limited_apart_from_pixels() -> None:
    few_bytes = ImageLimits(maximum_side=4096, maximum_pixels=2**22, maximum_decompressed_bytes=20 * 30)
    assert decode_encoded(encode(Image.fromarray(GREY), "PNG"), few_bytes).levels.shape == (20, 30)
    with pytest.raises(ImageTooLargeError, match="bytes"):
        decode_encoded(encode(Image.fromarray(DEEP), "PNG"), few_bytes)


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
        picture = decode_encoded(bytes(damaged[: round(kept * len(damaged))]), LIMITS)
    except MedxganError:
        return
    assert picture.levels.ndim == 2
    assert np.isfinite(picture.levels).all()
