"""An explanation is saved as DICOM objects where the film came as DICOM and the gateway's writers are installed."""

import io
import sys
from importlib.resources import files
from pathlib import Path
from zipfile import ZipFile

import httpx
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, SecondaryCaptureImageStorage
from tests.web.films import SAMPLE, phantom_film
from tests.web.rooms import explained

RG1 = Path(str(files("data_store") / "data" / "RG1_UNCR.dcm"))
MAPS = ["original", "reconstruction", "difference"]


def phantom(**attributes: object) -> bytes:
    """The sample film as a DICOM file."""
    file = io.BytesIO()
    phantom_film(**attributes).save_as(file, enforce_file_format=True)
    return file.getvalue()


def asked(reader: httpx.Client, content: bytes, maps: list[str] = MAPS) -> tuple[dict[str, object], httpx.Response]:
    """A film that is explained by the phantom's model: the explanation, and what is answered to a wish for DICOM."""
    film = reader.post("/api/films", content=content).raise_for_status().json()
    told = explained(reader, film["id"], model="phantom", maps=maps)
    return told, reader.get(f"/api/films/{film['id']}/explanations/{told['id']}/dicom.zip")


def objects(answer: httpx.Response) -> dict[str, Dataset]:
    """The objects of a zip file, by its names."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip"), answer.text
    assert "attachment" in answer.headers["content-disposition"]
    with ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()}


@pytest.mark.slow
def test_a_reliable_explanation_is_a_capture_and_a_report(reader: httpx.Client) -> None:
    content = phantom()
    told, answer = asked(reader, content)
    assert told["verdict"]["status"] == "reliable"
    found, film = objects(answer), dcmread(io.BytesIO(content))
    assert list(found) == ["secondary-capture.dcm", "report.dcm"]
    capture, report = found.values()
    assert (capture.SOPClassUID, report.SOPClassUID) == (SecondaryCaptureImageStorage, Comprehensive3DSRStorage)
    for result in found.values():
        assert (result.StudyInstanceUID, result.PatientID) == (film.StudyInstanceUID, film.PatientID)
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == film.SOPInstanceUID
    colours = capture.pixel_array.astype(int)
    assert colours.shape == (512, 512, 3)
    assert np.ptp(colours, axis=2).max() > 50, "the difference lies over the film in colour"
    # A repeat makes the same objects, to the byte.
    assert asked(reader, content)[1].content == answer.content


def test_a_real_radiograph_that_is_not_the_model_s_has_its_report_alone(reader: httpx.Client) -> None:
    told, answer = asked(reader, RG1.read_bytes())
    assert told["verdict"]["status"] == "not_applicable"
    found = objects(answer)
    assert list(found) == ["report.dcm"]
    assert found["report.dcm"].StudyInstanceUID == dcmread(RG1).StudyInstanceUID


def test_what_a_film_lacks_is_said_in_words(reader: httpx.Client) -> None:
    for attributes, words in (
        ({"StudyDate": None, "ContentDate": None}, "StudyDate: expected a date"),
        ({"StudyInstanceUID": None}, "StudyInstanceUID: expected a value"),
    ):
        _, answer = asked(reader, phantom(**attributes))
        assert answer.status_code == 422
        assert answer.json()["error"] == {"kind": "results", "message": f"no DICOM objects can be made: {words}"}


def test_a_map_that_is_not_held_is_asked_for(reader: httpx.Client) -> None:
    told, answer = asked(reader, phantom(), ["reconstruction"])
    assert told["verdict"]["status"] == "reliable"
    assert (answer.status_code, answer.json()["error"]["kind"]) == (404, "missing")


def test_it_is_offered_for_dicom_films_alone(reader: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    dicom = reader.post("/api/films", content=phantom()).json()
    _, answer = asked(reader, SAMPLE)
    assert "did not come as DICOM" in answer.json()["error"]["message"]
    offered = [film["makes_dicom"] for film in reader.get("/api/films").json()]
    assert offered == [True, False]
    monkeypatch.setitem(sys.modules, "highdicom", None)  # as where it is not installed
    assert not reader.get(f"/api/films/{dicom['id']}").json()["makes_dicom"]
    _, answer = asked(reader, phantom())
    assert "pip install 'medxgan[gateway]'" in answer.json()["error"]["message"]
