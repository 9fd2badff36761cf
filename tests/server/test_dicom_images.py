"""DICOM files: real ones of pydicom-data, and what damage does to them."""

import io
import logging
import sys
import zlib
from importlib.abc import MetaPathFinder
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from medxgan.server.errors import ImageError, ImageTooLargeError, MedxganError, UnsupportedError
from medxgan.server.images.codestream import stated_size
from medxgan.server.images.decoding import decode_image
from medxgan.server.images.dicom import decode_dicom
from medxgan.server.images.grey import GreyImage
from medxgan.server.images.limits import ImageLimits
from medxgan.v1.explanation_pb2 import Image

LIMITS = ImageLimits(maximum_side=4096, maximum_pixels=2**22, maximum_decompressed_bytes=2**24)


def content_of(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert path is not None, f"pydicom-data has no {name}"
    return Path(str(path)).read_bytes()


def data_set(name: str) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content_of(name)))


def written(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def picture(name: str) -> GreyImage:
    return decode_dicom(content_of(name), LIMITS)


def first_frame(name: str) -> Dataset:
    """A multi-frame data set cut down to its first frame."""
    dataset = data_set(name)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=int(dataset.NumberOfFrames))
    dataset.PixelData = encapsulate([frame])
    dataset.NumberOfFrames = 1
    return dataset


def test_a_chest_film_keeps_its_levels_and_says_that_high_is_dark() -> None:
    film = picture("RG1_UNCR.dcm")
    np.testing.assert_array_equal(film.levels, data_set("RG1_UNCR.dcm").pixel_array)
    assert film.inverted
    assert film.notes == ()


@pytest.mark.parametrize(
    ("compressed", "uncompressed"),
    [
        ("RG1_J2KR.dcm", "RG1_UNCR.dcm"),
        ("RG3_J2KR.dcm", "RG3_UNCR.dcm"),
        ("MR2_J2KR.dcm", "MR2_UNCR.dcm"),
        ("693_J2KR.dcm", "693_UNCR.dcm"),
        ("US1_J2KR.dcm", "US1_UNCR.dcm"),
        # Lossy: the "UNCI" file holds the pixels of the decompressed "J2KI" file.
        ("RG3_J2KI.dcm", "RG3_UNCI.dcm"),
        ("US1_J2KI.dcm", "US1_UNCI.dcm"),
        ("OBXXXX1A_rle.dcm", "OBXXXX1A.dcm"),
        ("gdcm-US-ALOKA-16_big.dcm", "gdcm-US-ALOKA-16.dcm"),
    ],
)
def test_a_compressed_file_gives_the_picture_of_the_uncompressed_one(compressed: str, uncompressed: str) -> None:
    got, wanted = picture(compressed), picture(uncompressed)
    np.testing.assert_array_equal(got.levels, wanted.levels)
    assert (got.inverted, got.notes) == (wanted.inverted, wanted.notes)


@pytest.mark.parametrize(
    "name", ["emri_small_jpeg_ls_lossless.dcm", "emri_small_RLE.dcm", "emri_small_jpeg_2k_lossless.dcm"]
)
def test_a_frame_of_an_mr_series_in_each_lossless_compression(name: str) -> None:
    got = decode_dicom(written(first_frame(name)), LIMITS)
    np.testing.assert_array_equal(got.levels, data_set("emri_small.dcm").pixel_array[0])


def test_lossless_jpeg() -> None:
    got = picture("JPEG-LL.dcm")
    np.testing.assert_array_equal(got.levels, data_set("JPEG-LL.dcm").pixel_array)


def test_a_deflated_file() -> None:
    dataset = data_set("693_UNCR.dcm")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    np.testing.assert_array_equal(decode_dicom(written(dataset), LIMITS).levels, picture("693_UNCR.dcm").levels)


def test_levels_are_in_the_units_of_the_modality() -> None:
    dataset = data_set("693_UNCR.dcm")
    wanted = dataset.pixel_array.astype(float) * dataset.RescaleSlope + dataset.RescaleIntercept
    got = picture("693_UNCR.dcm")
    np.testing.assert_array_equal(got.levels, wanted)
    assert got.levels.min() < 0, "signed"
    assert got.notes == ("padding pixels (stored value -2000) were kept as they are",)


def test_a_modality_lookup_table_is_applied() -> None:
    dataset = data_set("mlut_18.dcm")
    np.testing.assert_array_equal(picture("mlut_18.dcm").levels, apply_modality_lut(dataset.pixel_array, dataset))


@pytest.mark.parametrize("name", ["SC_rgb.dcm", "SC_ybr_full_uncompressed.dcm", "color-pl.dcm", "OBXXXX1A.dcm"])
def test_colour_becomes_grey_and_is_spoken_of(name: str) -> None:
    got = picture(name)
    assert got.levels.ndim == 2
    assert got.levels.std() > 0
    assert got.notes == ("colour was converted to grey",)


def test_a_colour_file_has_the_luma_of_its_channels() -> None:
    colour = data_set("SC_rgb.dcm").pixel_array
    np.testing.assert_allclose(picture("SC_rgb.dcm").levels, colour @ [0.299, 0.587, 0.114], rtol=1e-6)


def without_pixels() -> bytes:
    dataset = data_set("SC_rgb.dcm")
    del dataset.PixelData
    return written(dataset)


def with_rows(rows: int) -> bytes:
    dataset = data_set("SC_rgb.dcm")
    dataset.Rows = rows
    return written(dataset)


def of_another_size() -> bytes:
    """A JPEG 2000 frame whose own header states 60,000 x 60,000, in a data set that states 64 x 64."""
    dataset = first_frame("emri_small_jpeg_2k_lossless.dcm")
    frame = bytearray(get_frame(dataset.PixelData, 0, number_of_frames=1))
    frame[8:16] = (60_000).to_bytes(4, "big") * 2
    dataset.PixelData = encapsulate([bytes(frame)])
    return written(dataset)


def with_a_box_of_no_length() -> bytes:
    """A JP2 file whose second box has length 0: walking box by box would not end."""
    dataset = first_frame("emri_small_jpeg_2k_lossless.dcm")
    dataset.PixelData = encapsulate([b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0ftyp" + bytes(64)])
    return written(dataset)


def nested(depth: int) -> bytes:
    """Sequences within sequences, deeper than Python recurses."""
    head = content_of("SC_rgb.dcm")
    meta_end = 144 + int.from_bytes(head[140:144], "little")
    item = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return head[:meta_end] + item * depth


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"x", "Part 10"),
        (content_of("OT-PAL-8-face.dcm"), "Part 10"),
        (content_of("SC_rgb.dcm")[132:], "Part 10"),
        (content_of("SC_rgb.dcm")[:-100], "whole DICOM file"),
        (content_of("SC_rgb.dcm")[:400], "Pixel Data"),
        (content_of("OBXXXX1A_2frame.dcm"), "one frame, got 2"),
        (content_of("emri_small_RLE.dcm"), "one frame, got 10"),
        (without_pixels(), "Pixel Data"),
        (with_rows(0), "at least 1"),
        (with_rows(200), "whole DICOM file"),
        (of_another_size(), "compressed frame of 64 x 64"),
        (with_a_box_of_no_length(), "compressed frame of 64 x 64"),
        (nested(5000), "whole DICOM file"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(content: bytes, expected: str) -> None:
    with pytest.raises(ImageError, match=expected) as refusal:
        decode_dicom(content, LIMITS)
    assert refusal.value.field == "image.dicom"


def test_a_frame_that_ends_its_decoder_is_refused() -> None:
    content = bytearray(content_of("JPEG-LL.dcm"))
    content[content.index(b"\xff\xd8\xff\xc3") + 6] = 255  # the precision, in bits: GDCM ends its process on this one
    with pytest.raises(ImageError, match="whole compressed frame"):
        decode_dicom(bytes(content), LIMITS)


def test_size_is_limited_before_pixels_are_touched() -> None:
    with pytest.raises(ImageTooLargeError, match="4096 pixels a side, got 65535 x 100"):
        decode_dicom(with_rows(65535), LIMITS)


def test_a_deflated_bomb_is_refused_before_it_unfolds() -> None:
    dataset = data_set("SC_rgb.dcm")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    deflated = written(dataset)
    meta_end = 144 + int.from_bytes(deflated[140:144], "little")
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = compressor.compress(bytes(2 * LIMITS.maximum_decompressed_bytes)) + compressor.flush()
    with pytest.raises(ImageTooLargeError, match="when decompressed"):
        decode_dicom(deflated[:meta_end] + bomb, LIMITS)


def test_an_unknown_transfer_syntax_is_unsupported() -> None:
    dataset = data_set("RG3_J2KR.dcm")
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.201")  # high-throughput JPEG 2000
    with pytest.raises(UnsupportedError, match="transfer syntax"):
        decode_dicom(written(dataset), LIMITS)


def test_without_pydicom_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name == "pydicom" or name.startswith(("pydicom.", "medxgan.server.images.dicom")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_WithoutPydicom(), *sys.meta_path])
    with pytest.raises(UnsupportedError, match=r"medxgan\[dicom\]"):
        decode_image(Image(dicom=b"any"), LIMITS)


class _WithoutPydicom(MetaPathFinder):
    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pydicom":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["SC_rgb.dcm", "OBXXXX1A_rle.dcm", "US1_J2KR.dcm", "mlut_18.dcm"]),
    st.lists(st.tuples(st.integers(128, 6000), st.integers(0, 255)), max_size=4),
    st.integers(132, 20_000),
)
def test_a_damaged_file_is_read_or_refused_without_a_word_of_the_patient(
    name: str, changes: list[tuple[int, int]], kept: int
) -> None:
    dataset = data_set(name)
    dataset.PatientName = "Nobody^Shall^Know"
    dataset.PatientID = "NOBODY"
    damaged = bytearray(written(dataset))
    for place, value in changes:
        damaged[place] = value
    heard = _Listener()
    logging.getLogger().addHandler(heard)
    try:
        spoken = " ".join(decode_dicom(bytes(damaged[:-kept]), LIMITS).notes)
    except MedxganError as error:
        spoken = f"{error} {error.__cause__}"
    finally:
        logging.getLogger().removeHandler(heard)
    assert "nobody" not in spoken.lower()
    assert heard.lines == []


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["JPEG", "JPEG2000"]))
def test_a_codestream_states_its_own_size(height: int, width: int, form: str) -> None:
    file = io.BytesIO()
    options = {"no_jp2": True} if form == "JPEG2000" else {"comment": b"a segment to walk past"}
    PillowImage.new("L", (width, height)).save(file, form, **options)
    assert stated_size(file.getvalue()) == (height, width)
    assert stated_size(b"\xff\xff" + file.getvalue()) is None


def test_a_jp2_file_states_the_size_of_its_codestream() -> None:
    file = io.BytesIO()
    PillowImage.new("L", (7, 5)).save(file, "JPEG2000")
    assert stated_size(file.getvalue()) == (5, 7)
