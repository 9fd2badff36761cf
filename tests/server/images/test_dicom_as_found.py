"""DICOM files with less around them than Part 10 asks for, and files that are none."""

import io
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from medxgan.server.errors import ImageError, ImageTooLargeError, MedxganError, UnsupportedError
from medxgan.server.images.decoding import decode_image
from medxgan.server.images.dicom.decoding import decode_dicom
from medxgan.server.images.limits import ImageLimits
from medxgan.v1.explanation_pb2 import Image

VALUES = np.arange(30, dtype="<u2").reshape(5, 6)
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
META_LENGTH = slice(132, 144)


def meta_end(content: bytes) -> int:
    return 144 + int.from_bytes(content[140:144], "little")


def content_of(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert path is not None, f"pydicom-data has no {name}"
    return Path(str(path)).read_bytes()


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    "change",
    [
        lambda content: content,
        lambda content: content[128:],
        lambda content: content[132:],
        lambda content: content[:140] + bytes(4) + content[144:],
        lambda content: content[:140] + b"\xf0\xff\xff\x7f" + content[144:],
        lambda content: content[:132] + content[144:],
        lambda content: content[144:],
        lambda content: bytes(range(128)) + content[128:],
    ],
    ids=[
        "whole",
        "no preamble",
        "neither preamble nor prefix",
        "group length of 0",
        "group length beyond the file",
        "no group length",
        "from the second element on",
        "another preamble",
    ],
)
def test_the_meta_information_is_taken_as_it_is_found(
    write: Callable[..., bytes], limits: ImageLimits, syntax: UID, change: Callable[[bytes], bytes]
) -> None:
    film = decode_dicom(change(write(VALUES, syntax=syntax)), 0, limits)
    np.testing.assert_array_equal(film.levels, VALUES)
    assert film.notes == ()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("kept", ["meta without a transfer syntax", "preamble", "nothing"])
def test_without_a_transfer_syntax_one_is_taken_and_said(
    write: Callable[..., bytes], limits: ImageLimits, syntax: UID, kept: str
) -> None:
    content = write(VALUES, syntax=syntax)
    body = content[meta_end(content) :]
    before = {
        "meta without a transfer syntax": content[:132] + b"\x02\x00\x12\x00UI\x04\x001.2\0",
        "preamble": content[:132],
        "nothing": b"",
    }[kept]
    film = decode_dicom(before + body, 0, limits)
    np.testing.assert_array_equal(film.levels, VALUES)
    assert film.notes == (f"the file states no transfer syntax: {syntax.name} was taken",)


@pytest.mark.parametrize(
    "missing",
    [
        "PhotometricInterpretation",
        "PixelRepresentation",
        "SamplesPerPixel",
        "BitsStored",
        "BitsAllocated",
        "Rows",
        "Columns",
        "PixelData",
    ],
)
def test_a_missing_element_is_named(write: Callable[..., bytes], limits: ImageLimits, missing: str) -> None:
    with pytest.raises(ImageError, match=rf"{missing} \([0-9A-F]{{4}},[0-9A-F]{{4}}\)") as refusal:
        decode_dicom(write(VALUES, without=(missing,)), 0, limits)
    assert refusal.value.field == "image.dicom"


def test_a_missing_high_bit_is_the_highest_of_the_bits_stored(write: Callable[..., bytes], limits: ImageLimits) -> None:
    np.testing.assert_array_equal(decode_dicom(write(VALUES, without=("HighBit",)), 0, limits).levels, VALUES)


@pytest.mark.parametrize(
    "wrong",
    [
        {"Rows": 0},
        {"Columns": 0},
        {"SamplesPerPixel": 2},
        {"BitsAllocated": 12},
        {"BitsStored": 0},
        {"BitsStored": 17},
        {"HighBit": 16},
        {"HighBit": 3},
        {"PixelRepresentation": 2},
        {"NumberOfFrames": 0},
        {"PhotometricInterpretation": "HSV"},
        {"PhotometricInterpretation": "RGB"},
    ],
)
def test_an_element_that_says_what_can_not_be_is_named(
    write: Callable[..., bytes], limits: ImageLimits, wrong: dict[str, object]
) -> None:
    (keyword,) = wrong
    with pytest.raises(ImageError, match=keyword):
        decode_dicom(write(VALUES, elements=wrong), 0, limits)


@pytest.mark.filterwarnings("ignore")
def test_text_in_the_place_of_a_number_is_named_and_not_quoted(
    write: Callable[..., bytes], limits: ImageLimits
) -> None:
    content = write(VALUES, elements={"RescaleSlope": "7777"})
    assert content.count(b"7777") == 1
    with pytest.raises(ImageError, match="RescaleSlope") as refusal:
        decode_dicom(content.replace(b"7777", b"x^y "), 0, limits)
    assert "x^y" not in str(refusal.value)
    with pytest.raises(ImageError, match="NumberOfFrames"):
        decode_dicom(content_of("badVR.dcm"), 0, limits)


def nested(depth: int) -> bytes:
    """Sequences within sequences, deeper than Python recurses."""
    head = content_of("SC_rgb.dcm")
    element = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return head[: meta_end(head)] + element * depth


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"x", "expected a DICOM file"),
        (b"", "expected a DICOM file"),
        (b"not a DICOM file but some text", "expected a DICOM file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "expected a DICOM file"),
        (content_of("SC_rgb.dcm")[:-100], "bytes of pixels"),
        (content_of("SC_rgb.dcm")[:400], "PixelData"),
        (nested(5000), "whole DICOM file"),
    ],
)
def test_what_is_no_whole_object_is_refused(content: bytes, expected: str, limits: ImageLimits) -> None:
    with pytest.raises(ImageError, match=expected) as refusal:
        decode_dicom(content, 0, limits)
    assert refusal.value.field == "image.dicom"


def test_size_is_limited_before_pixels_are_touched(write: Callable[..., bytes], limits: ImageLimits) -> None:
    with pytest.raises(ImageTooLargeError, match="4096 pixels a side, got 65535 x 6"):
        decode_dicom(write(VALUES, elements={"Rows": 65535}), 0, limits)


def test_an_unknown_transfer_syntax_is_unsupported(write: Callable[..., bytes], limits: ImageLimits) -> None:
    content = write(VALUES).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.9.9\0")
    with pytest.raises(UnsupportedError, match="transfer syntax"):
        decode_dicom(content, 0, limits)


def test_without_pydicom_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, limits: ImageLimits) -> None:
    for name in list(sys.modules):
        if name == "pydicom" or name.startswith(("pydicom.", "medxgan.server.images.dicom")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_WithoutPydicom(), *sys.meta_path])
    with pytest.raises(UnsupportedError, match=r"medxgan\[dicom\]"):
        decode_image(Image(dicom=b"any"), limits)


class _WithoutPydicom(MetaPathFinder):
    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pydicom":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.filterwarnings("ignore")  # of pydicom, of what it finds in damaged files
@given(
    st.sampled_from(
        ["SC_rgb.dcm", "OBXXXX1A_rle.dcm", "US1_J2KR.dcm", "mlut_18.dcm", "JPEG-LL.dcm", "JPGExtended.dcm"]
    ),
    st.lists(st.tuples(st.integers(128, 6000), st.integers(0, 255)), max_size=4),
    st.integers(0, 20_000),
)
def test_a_damaged_file_is_read_or_refused_without_a_word_of_the_patient(
    limits: ImageLimits, name: str, changes: list[tuple[int, int]], cut: int
) -> None:
    dataset = pydicom.dcmread(io.BytesIO(content_of(name)))
    dataset.PatientName = "Nobody^Shall^Know"
    dataset.PatientID = "NOBODY"
    file = io.BytesIO()
    dataset.save_as(file)
    damaged = bytearray(file.getvalue())
    for place, value in changes:
        damaged[place] = value
    try:
        film = decode_dicom(bytes(damaged[: len(damaged) - cut]), 0, limits)
    except MedxganError as error:
        spoken = f"{error} {error.__cause__}"
    else:
        assert np.isfinite(film.levels).all()
        spoken = " ".join(film.notes)
    assert "nobody" not in spoken.lower()
