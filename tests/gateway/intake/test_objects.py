"""What counts as a whole DICOM object, whatever way it came."""

from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ImplicitVRLittleEndian
from tests.gateway.films import content, film

from medxgan.gateway.intake.objects import UnreadableError, read

FILMS = {
    name: (files("data_store") / "data" / name).read_bytes()
    for name in ("RG1_UNCR.dcm", "RG1_UNCI.dcm", "RG1_J2KR.dcm", "RG1_J2KI.dcm")
}
SMALL = content(film(side=8))


@pytest.mark.parametrize("name", FILMS)
def test_a_real_film_is_whole(name: str) -> None:
    incoming = read(FILMS[name])
    assert incoming.sop_class_uid == "1.2.840.10008.5.1.4.1.1.1"
    assert len(incoming.pixels_sha256) == 64


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("share", [0.0005, 0.1, 0.5, 0.999])
def test_a_real_film_that_ends_too_soon_is_refused(name: str, share: float) -> None:
    with pytest.raises(UnreadableError):
        read(FILMS[name][: int(len(FILMS[name]) * share)])


@given(st.integers(min_value=0, max_value=len(SMALL) - 2))
@settings(max_examples=300)
def test_a_film_cut_anywhere_but_between_elements_is_refused(end: int) -> None:
    """Cut between two elements before the pixels, an object can't be told from one that never had any."""
    try:
        incoming = read(SMALL[:end])
    except UnreadableError:
        return
    assert incoming.pixels_sha256 == ""


def test_the_same_pixels_count_as_the_same_in_another_encoding_of_the_header() -> None:
    made = film()
    explicit = read(content(made))
    made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert read(content(made)).pixels_sha256 == explicit.pixels_sha256


def test_an_object_without_pixels_is_whole() -> None:
    assert read(content(film(PixelData=None))).pixels_sha256 == ""


@pytest.mark.parametrize("wrong", [b"", b"\0" * 128 + b"DICM", b"GIF89a" * 100, SMALL[:200] + b"\xff" * 5000])
def test_what_is_no_dicom_object_is_refused(wrong: bytes) -> None:
    with pytest.raises(UnreadableError):
        read(wrong)


def test_fewer_pixels_than_stated_are_refused() -> None:
    made = film(side=8)
    made.Rows = 9
    with pytest.raises(UnreadableError, match="fewer pixels"):
        read(content(made))


def test_the_error_holds_nothing_of_the_object() -> None:
    made = film(Rows=60000)
    with pytest.raises(UnreadableError) as raised:
        read(content(made))
    assert "lanted" not in str(raised.value)
