"""What leaves the machine: enough for the same answer, and nothing that says who somebody is."""

import io
from importlib.resources import files

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from tests.gateway.films import PATIENT, content, film

from medxgan.client import Client, MapKind
from medxgan.gateway.explaining.deidentification import BurnedInError, de_identified

FILMS = ("RG1_UNCR.dcm", "RG1_UNCI.dcm", "RG1_J2KR.dcm", "RG1_J2KI.dcm")


def film_of_a_patient() -> Dataset:
    """A film that says who the patient is in every kind of place."""
    made = film(
        InstitutionName="PLANTED hospital",
        PatientComments="PLANTED comment",
        ImageComments="PLANTED too",
        DeviceSerialNumber="PLANTED-SN",
        OperatorsName="Planted^Operator",
    )
    made.add_new(0x00091001, "LO", "PLANTED private")
    made.private_block(0x0011, "PLANTED creator", create=True).add_new(1, "LO", "PLANTED block")
    request = Dataset()
    request.RequestedProcedureDescription = "PLANTED request"
    made.RequestAttributesSequence = [request]
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], np.arange(4096, dtype="<u2").tobytes()
    table["LUTData"].VR = "OW"
    table.LUTExplanation = "PLANTED explanation"
    made.VOILUTSequence = [table]
    return made


def test_nothing_of_the_patient_leaves() -> None:
    made = film_of_a_patient()
    sent = de_identified(made)
    assert b"lanted" not in sent.replace(b"PLANTED", b"Planted")
    for uid in (made.SOPInstanceUID, made.SeriesInstanceUID, made.StudyInstanceUID):
        assert uid.encode() not in sent
    assert PATIENT.encode() in content(made), "it was there before"
    left = pydicom.dcmread(io.BytesIO(sent))
    assert left.PixelData == made.PixelData
    assert left.VOILUTSequence[0].LUTData == made.VOILUTSequence[0].LUTData


@given(st.sampled_from(sorted(pydicom.datadict.DicomDictionary)))
@settings(max_examples=300)
def test_no_attribute_that_holds_text_leaves_but_those_that_are_listed(tag: int) -> None:
    vr = pydicom.datadict.dictionary_VR(tag)
    if tag >> 16 <= 2 or vr not in ("LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR"):
        return
    made = film()
    made.add_new(tag, vr, "PLANTED-TEXT")
    assert b"PLANTED-TEXT" not in de_identified(made)


def test_what_is_burnt_into_the_pixels_does_not_leave() -> None:
    with pytest.raises(BurnedInError):
        de_identified(film(BurnedInAnnotation="YES"))
    assert de_identified(film(BurnedInAnnotation="NO"))


def test_the_film_itself_is_left_as_it_was() -> None:
    made = film_of_a_patient()
    before = content(made)
    de_identified(made)
    assert content(made) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", FILMS)
def test_the_server_says_the_same_of_what_is_left_of_a_real_film(name: str, server: str) -> None:
    whole = (files("data_store") / "data" / name).read_bytes()
    left = de_identified(pydicom.dcmread(io.BytesIO(whole)))
    assert str(pydicom.dcmread(io.BytesIO(whole)).PatientName).encode() not in left
    with Client(server) as client:
        first, second = (
            client.explain(each, model="phantom", maps=[MapKind.ORIGINAL, MapKind.DIFFERENCE]) for each in (whole, left)
        )
    assert first.scores.original == second.scores.original
    assert first.geometry == second.geometry
    np.testing.assert_array_equal(first.original, second.original)


def test_uids_do_not_pile_up_in_the_library() -> None:
    from dicomanonymizer import simpledicomanonymizer

    before = len(simpledicomanonymizer.dictionary)
    for _ in range(10):
        de_identified(film(FrameOfReferenceUID=generate_uid()))
    assert len(simpledicomanonymizer.dictionary) == before
