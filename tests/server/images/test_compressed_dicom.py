"""Every transfer syntax with compressed frames, against the values that were compressed and against GDCM."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import gdcm
import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image as PillowImage
from pydicom.data import get_testdata_file
from pydicom.encaps import get_frame
from pydicom.uid import UID

from medxgan.server.errors import ImageError
from medxgan.server.images.dicom.decoding import decode_dicom
from medxgan.server.images.dicom.file import read_picture_elements
from medxgan.server.images.dicom.header import PixelModule
from medxgan.server.images.dicom.stored import read_stored
from medxgan.server.images.dicom.syntaxes import CODECS, Codec
from medxgan.server.images.limits import ImageLimits

_random = np.random.default_rng(0)
SMOOTH = (np.add.outer(np.arange(40), np.arange(60)) * 2).astype(np.uint8)
Encode = Callable[[np.ndarray, int], bytes]


def _htj2k(values: np.ndarray, bits: int) -> bytes:
    return imagecodecs.htj2k_encode(values, reversible=True)


def _jpeg_ll(values: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=bits, predictor=1)


LOSSLESS: dict[str, Encode] = {
    "57": _jpeg_ll,
    "70": _jpeg_ll,
    "80": lambda values, bits: imagecodecs.jpegls_encode(values),
    "90": lambda values, bits: imagecodecs.jpeg2k_encode(
        values, level=0, reversible=True, codecformat="J2K", bitspersample=bits
    ),
    "91": lambda values, bits: imagecodecs.jpeg2k_encode(
        values, level=0, reversible=True, codecformat="J2K", bitspersample=bits
    ),
    "110": lambda values, bits: imagecodecs.jpegxl_encode(values, lossless=True, usecontainer=False),
    "112": lambda values, bits: imagecodecs.jpegxl_encode(values, lossless=True, usecontainer=True),
    "201": _htj2k,
    "202": _htj2k,
    "203": _htj2k,
}


def syntax(number: str) -> UID:
    return UID(f"1.2.840.10008.1.2.4.{number}")


def content_of(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert path is not None, f"pydicom-data has no {name}"
    return Path(str(path)).read_bytes()


@pytest.mark.parametrize("number", LOSSLESS)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_grey_keeps_every_value(
    write: Callable[..., bytes], limits: ImageLimits, number: str, bits: int
) -> None:
    values = _random.integers(0, 2**bits, (20, 30), np.uint16 if bits > 8 else np.uint8)
    frame = LOSSLESS[number](values, bits)
    got = decode_dicom(write(values, stored=bits, syntax=syntax(number), compressed=[frame]), 0, limits)
    np.testing.assert_array_equal(got.levels, values)


@pytest.mark.parametrize("number", ["70", "80", "90", "110", "201"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_signed_values_in_codestreams_without_a_sign(
    write: Callable[..., bytes], limits: ImageLimits, number: str, bits: int
) -> None:
    values = _random.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (20, 30), np.int32)
    kind = np.uint16 if bits > 8 else np.uint8
    unsigned = (values & (2**bits - 1)).astype(kind)
    frame = LOSSLESS[number](unsigned, bits)
    content = write(unsigned, stored=bits, signed=True, syntax=syntax(number), compressed=[frame])
    np.testing.assert_array_equal(decode_dicom(content, 0, limits).levels, values)


@pytest.mark.parametrize("number", ["90", "201"])
def test_signed_values_in_codestreams_with_a_sign(
    write: Callable[..., bytes], limits: ImageLimits, number: str
) -> None:
    values = _random.integers(-(2**15), 2**15, (20, 30), np.int16)
    frame = LOSSLESS[number](values, 16)
    content = write(values, signed=True, syntax=syntax(number), compressed=[frame])
    np.testing.assert_array_equal(decode_dicom(content, 0, limits).levels, values)


def test_whole_cells_compressed_with_bits_that_are_not_the_lowest(
    write: Callable[..., bytes], cells: Callable[..., np.ndarray], limits: ImageLimits
) -> None:
    values = _random.integers(0, 4096, (20, 30))
    held = cells(values, 16, 12, 15, garbage=0x5)
    frame = LOSSLESS["80"](held, 16)
    content = write(held, stored=12, high_bit=15, syntax=syntax("80"), compressed=[frame])
    np.testing.assert_array_equal(decode_dicom(content, 0, limits).levels, values)


@pytest.mark.parametrize("number", ["80", "90", "110", "201"])
def test_lossless_colour(write: Callable[..., bytes], limits: ImageLimits, number: str) -> None:
    colours = _random.integers(0, 256, (20, 30, 3), np.uint8)
    frame = LOSSLESS[number](colours, 8)
    content = write(colours, interpretation="RGB", planar=0, syntax=syntax(number), compressed=[frame])
    np.testing.assert_allclose(decode_dicom(content, 0, limits).levels, colours @ [0.299, 0.587, 0.114], rtol=1e-5)


@pytest.mark.parametrize(("number", "options"), [("50", {}), ("55", {"progressive": True})])
def test_a_jpeg_of_eight_bits_comes_close(
    write: Callable[..., bytes], limits: ImageLimits, number: str, options: dict[str, bool]
) -> None:
    file = io.BytesIO()
    PillowImage.fromarray(SMOOTH).save(file, "JPEG", quality=95, **options)
    got = decode_dicom(write(SMOOTH, syntax=syntax(number), compressed=[file.getvalue()]), 0, limits)
    assert np.abs(got.levels - SMOOTH).max() <= 3  # quantization at quality 95 on a smooth ramp


def test_a_jpeg_of_twelve_bits_keeps_its_depth(write: Callable[..., bytes], limits: ImageLimits) -> None:
    smooth = SMOOTH.astype(np.uint16) * 20
    frame = imagecodecs.jpeg8_encode(smooth, bitspersample=12, level=98)
    got = decode_dicom(write(smooth, stored=12, syntax=syntax("51"), compressed=[frame]), 0, limits)
    assert np.abs(got.levels - smooth).max() <= 20  # quantization of 4,096 levels at quality 98


@pytest.mark.parametrize(
    ("mark", "interpretation", "luma"),
    [
        (b"", "YBR_FULL_422", True),
        (b"", "RGB", False),
        (b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0", "RGB", True),
        (b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\x01", "RGB", True),
        (b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\x00", "YBR_FULL_422", False),
    ],
)
def test_what_the_samples_of_a_colour_jpeg_are(
    write: Callable[..., bytes], limits: ImageLimits, mark: bytes, interpretation: str, luma: bool
) -> None:
    """A mark in the codestream counts, else the Photometric Interpretation."""
    first, other = np.full((16, 16), 200), np.full((16, 16), 128)
    file = io.BytesIO()
    stacked = PillowImage.merge("YCbCr", [PillowImage.fromarray(v.astype(np.uint8)) for v in (first, other, other)])
    stacked.save(file, "JPEG", quality=100, subsampling=0)
    plain = file.getvalue()
    start = plain.index(b"\xff\xe0")
    length = int.from_bytes(plain[start + 2 : start + 4], "big")
    frame = plain[:start] + mark + plain[start + 2 + length :]
    content = write(
        np.zeros((16, 16, 3), np.uint8),
        interpretation=interpretation,
        planar=0,
        syntax=syntax("50"),
        compressed=[frame],
    )
    wanted = 200 if luma else 0.299 * 200 + (0.587 + 0.114) * 128
    np.testing.assert_allclose(decode_dicom(content, 0, limits).levels, wanted, atol=1)


def test_every_codec_with_codestreams_was_tried() -> None:
    tried = {syntax(number) for number in (*LOSSLESS, "50", "51", "55")}
    files = {syntax("81"), syntax("53"), syntax("111")}  # lossy JPEG-LS below; the others share their codec's reader
    codestreams = {uid for uid, codec in CODECS.items() if codec not in (Codec.NATIVE, Codec.RLE)}
    assert codestreams == tried | files


@pytest.mark.parametrize(
    ("compressed", "uncompressed"),
    [
        ("RG3_J2KR.dcm", "RG3_UNCR.dcm"),
        ("MR2_J2KR.dcm", "MR2_UNCR.dcm"),
        ("693_J2KR.dcm", "693_UNCR.dcm"),
        ("US1_J2KR.dcm", "US1_UNCR.dcm"),
        # Lossy: the "UNCI" file holds the pixels of the decompressed "J2KI" file.
        ("RG3_J2KI.dcm", "RG3_UNCI.dcm"),
        ("US1_J2KI.dcm", "US1_UNCI.dcm"),
        ("SC_rgb_rle_16bit.dcm", "SC_rgb_16bit.dcm"),
        ("SC_rgb_rle_32bit.dcm", "SC_rgb_32bit.dcm"),
        ("gdcm-US-ALOKA-16_big.dcm", "gdcm-US-ALOKA-16.dcm"),
        # Lossy, and the "dcmd" file decompressed by another decoder.
        ("SC_rgb_jpeg_app14_dcmd.dcm", "SC_jpeg_no_color_transform_2.dcm"),
        ("SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_dcmtk_ebcr_dcmd.dcm"),
        ("SC_rgb_dcmtk_+eb+cy+n1.dcm", "SC_rgb_dcmtk_ebcyn1_dcmd.dcm"),
        ("SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_dcmtk_ebcys4_dcmd.dcm"),
    ],
)
def test_a_compressed_file_gives_the_picture_of_the_uncompressed_one(
    compressed: str, uncompressed: str, limits: ImageLimits
) -> None:
    got, wanted = (decode_dicom(content_of(name), 0, limits) for name in (compressed, uncompressed))
    # Decoders of a lossy JPEG round colours by one level each way.
    np.testing.assert_allclose(got.levels, wanted.levels, atol=3 if "SC_rgb_dcmtk" in compressed else 0)
    assert got.inverted == wanted.inverted


@pytest.mark.parametrize(
    "name", ["emri_small_jpeg_ls_lossless.dcm", "emri_small_RLE.dcm", "emri_small_jpeg_2k_lossless.dcm"]
)
@pytest.mark.parametrize("asked", [1, 7, 10])
def test_a_frame_of_an_mr_series_in_each_lossless_compression(name: str, asked: int, limits: ImageLimits) -> None:
    got, wanted = (decode_dicom(content_of(name), asked, limits) for name in (name, "emri_small.dcm"))
    np.testing.assert_array_equal(got.levels, wanted.levels)


GDCM_READS = [
    "693_J2KI.dcm",
    "CT_small.dcm",
    "ExplVR_BigEnd.dcm",
    "GDCMJ2K_TextGBR.dcm",
    "JPEG-LL.dcm",
    "JPEG-lossy.dcm",
    "JPEG2000.dcm",
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "JPGExtended.dcm",
    "JPGLosslessP14SV1_1s_1f_8b.dcm",
    "MR-SIEMENS-DICOM-WithOverlays.dcm",
    "MR2_J2KR.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "OBXXXX1A_rle.dcm",
    "RG1_J2KR.dcm",
    "SC_rgb_gdcm_KY.dcm",
    "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "bad_sequence.dcm",
    "explicit_VR-UN.dcm",
    "image_dfl.dcm",
    "mlut_18.dcm",
    "vlut_04.dcm",
]


@pytest.mark.parametrize("name", GDCM_READS)
def test_stored_values_are_those_that_gdcm_reads(name: str, limits: ImageLimits) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the files are odd on purpose
        elements = read_picture_elements(content_of(name), limits)
        module = PixelModule.of(elements.dataset)
        got = read_stored(elements.dataset, elements.syntax, module, 0).values
    reader = gdcm.ImageReader()
    reader.SetFileName(str(get_testdata_file(name, download=False)))
    assert reader.Read()
    image = reader.GetImage()
    buffer = image.GetBuffer().encode("utf-8", "surrogateescape")
    wanted = np.frombuffer(buffer, f"{'i' if module.signed else 'u'}{module.bits_allocated // 8}")
    if image.GetPlanarConfiguration() == 1:
        wanted = wanted.reshape(3, -1).T
    np.testing.assert_array_equal(got, wanted.reshape(got.shape))


def test_a_frame_whose_sign_the_header_contradicts(limits: ImageLimits) -> None:
    """Pixel Representation is signed, the codestream unsigned with 13 bits: -2000 is written as 6192."""
    film = decode_dicom(content_of("J2K_pixelrep_mismatch.dcm"), 0, limits)
    np.testing.assert_array_equal(film.levels[0, 55:60], [-2000] * 5)


def test_a_codestream_of_another_size_is_refused(write: Callable[..., bytes], limits: ImageLimits) -> None:
    values = np.zeros((20, 30), np.uint8)
    frame = bytearray(LOSSLESS["90"](values, 8))
    frame[8:16] = (60_000).to_bytes(4, "big") * 2
    for broken in (bytes(frame), b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0ftyp" + bytes(64), b"no codestream"):
        with pytest.raises(ImageError, match="compressed frame of 20 x 30"):
            decode_dicom(write(values, syntax=syntax("90"), compressed=[broken]), 0, limits)


@pytest.mark.parametrize("number", LOSSLESS)
def test_a_frame_of_another_size_or_number_of_samples_is_refused(
    write: Callable[..., bytes], limits: ImageLimits, number: str
) -> None:
    larger = LOSSLESS[number](np.zeros((21, 30), np.uint8), 8)
    with pytest.raises(ImageError, match="compressed frame of 20 x 30"):
        decode_dicom(write(np.zeros((20, 30), np.uint8), syntax=syntax(number), compressed=[larger]), 0, limits)
    if number not in ("57", "70"):
        colour = LOSSLESS[number](np.zeros((20, 30, 3), np.uint8), 8)
        with pytest.raises(ImageError, match="samples per pixel"):
            decode_dicom(write(np.zeros((20, 30), np.uint8), syntax=syntax(number), compressed=[colour]), 0, limits)


def test_more_bits_than_are_allocated_are_refused(write: Callable[..., bytes], limits: ImageLimits) -> None:
    frame = LOSSLESS["90"](np.full((4, 4), 4000, np.uint16), 16)
    with pytest.raises(ImageError, match="BitsAllocated"):
        decode_dicom(write(np.zeros((4, 4), np.uint8), syntax=syntax("90"), compressed=[frame]), 0, limits)


def test_two_codestreams_in_an_object_of_one_frame_are_refused(
    write: Callable[..., bytes], limits: ImageLimits
) -> None:
    values = np.zeros((20, 30), np.uint8)
    frame = LOSSLESS["80"](values, 8)
    with pytest.raises(ImageError, match="NumberOfFrames"):
        decode_dicom(write(values, syntax=syntax("80"), compressed=[frame, frame]), 0, limits)


def test_a_frame_that_ends_gdcm_with_its_process_is_refused(limits: ImageLimits) -> None:
    content = bytearray(content_of("JPEG-LL.dcm"))
    content[content.index(b"\xff\xd8\xff\xc3") + 6] = 255  # the precision, in bits
    with pytest.raises(ImageError, match="BitsAllocated"):
        decode_dicom(bytes(content), 0, limits)


def test_a_frame_is_the_same_by_its_offset_tables(limits: ImageLimits) -> None:
    dataset = pydicom.dcmread(io.BytesIO(content_of("emri_small_RLE.dcm")))
    third = get_frame(dataset.PixelData, 2, number_of_frames=10)
    from pydicom.encaps import encapsulate_extended

    frames = [get_frame(dataset.PixelData, index, number_of_frames=10) for index in range(10)]
    assert frames[2] == third
    dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    file = io.BytesIO()
    dataset.save_as(file)
    wanted = decode_dicom(content_of("emri_small.dcm"), 3, limits)
    np.testing.assert_array_equal(decode_dicom(file.getvalue(), 3, limits).levels, wanted.levels)


def test_jpeg_xl_of_whole_cells_whose_stored_bits_are_not_the_lowest(write, limits: ImageLimits) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (16, 24), np.uint16)
    cells = values << 4
    frame = imagecodecs.jpegxl_encode(cells, lossless=True)
    content = write(cells, syntax=UID("1.2.840.10008.1.2.4.110"), stored=12, high_bit=15, compressed=[frame])
    np.testing.assert_array_equal(decode_dicom(content, 0, limits).levels, values)


@pytest.mark.parametrize("part", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    "syntax",
    # CharLS computes on for seconds.
    ["50", "51", "57", "70", pytest.param("80", marks=pytest.mark.slow), "90", "110", "201"],
)
def test_a_frame_that_was_cut_off_is_refused(write, limits: ImageLimits, syntax: str, part: float) -> None:
    """libjpeg fills up what is missing with a level of its own, and does not say so."""
    values = np.add.outer(np.arange(160), np.arange(120)) + np.random.default_rng(0).integers(0, 8, (160, 120))
    values = values.clip(0, 255).astype(np.uint8) if syntax == "50" else (values * 8).astype(np.uint16)
    encode = {
        "50": lambda: imagecodecs.jpeg8_encode(values, level=90),
        "51": lambda: imagecodecs.jpeg8_encode(values, bitspersample=12, level=95),
        "57": lambda: imagecodecs.ljpeg_encode(values, bitspersample=16),
        "70": lambda: imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=12),
        "80": lambda: imagecodecs.jpegls_encode(values),
        "90": lambda: imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k", reversible=True),
        "110": lambda: imagecodecs.jpegxl_encode(values, lossless=True),
        "201": lambda: imagecodecs.htj2k_encode(values),
    }[syntax]
    whole, uid, stored = encode(), UID(f"1.2.840.10008.1.2.4.{syntax}"), 8 if syntax == "50" else 12
    decode_dicom(write(values, syntax=uid, stored=stored, compressed=[whole]), 0, limits)
    for cut in (whole[: int(len(whole) * part)], whole[: int(len(whole) * part)] + b"\xff\xd9"):
        with pytest.raises(ImageError, match="whole"):
            decode_dicom(write(values, syntax=uid, stored=stored, compressed=[cut]), 0, limits)


@pytest.mark.parametrize("stated", [1, 2])
def test_more_frames_than_the_header_says_are_refused(write, limits: ImageLimits, stated: int) -> None:
    frames = np.random.default_rng(0).integers(0, 4096, (3, 16, 16), np.uint16)
    coded = [imagecodecs.jpegls_encode(frame) for frame in frames]
    content = write(frames, frames=stated, stored=12, syntax=UID("1.2.840.10008.1.2.4.80"), compressed=coded)
    with pytest.raises(ImageError, match="NumberOfFrames"):
        decode_dicom(content, 1, limits)
