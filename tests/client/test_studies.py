"""Studies that are explained: what is taken for a film, and what is skipped with which reason."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.config import disable_value_validation
from pydicom.data import get_testdata_file
from pydicom.uid import ComputedRadiographyImageStorage, ParametricMapStorage, generate_uid
from tests.archives import serving
from tests.gateway.dcmtk import command, needs_dcmtk
from tests.gateway.films import content, film
from tests.gateway.orthanc import MISSING, Orthanc
from typer.testing import CliRunner

from medxgan.client.command.app import app
from medxgan.client.studies.archive import Archive, study_at
from medxgan.client.studies.errors import QueryError, StudyError
from medxgan.client.studies.films import Film, Skipped, no_film
from medxgan.client.studies.folder import films_of
from medxgan.client.studies.search import MOST_DAYS, PAGE, StudyQuery

pytestmark = pytest.mark.usefixtures("plain_terminal")


def run(*arguments: object):
    return CliRunner().invoke(app, ["explain", *(str(argument) for argument in arguments)])


def report_of_a_reader() -> pydicom.Dataset:
    return pydicom.dcmread(get_testdata_file("reportsi.dcm", read=False))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder of two films and of what else lies in such folders."""
    folder = tmp_path / "study"
    (folder / "series").mkdir(parents=True)
    (folder / "a.dcm").write_bytes(content(film(seed=1)))
    (folder / "series" / "b.dcm").write_bytes(content(film(seed=2)))
    (folder / "cine.dcm").write_bytes(content(film(NumberOfFrames=2, Rows=32)))
    (folder / "ours.dcm").write_bytes(content(film(Manufacturer="medxgan")))
    (folder / "map.dcm").write_bytes(content(film(SOPClassUID=ParametricMapStorage)))
    report_of_a_reader().save_as(folder / "report.dcm")
    (folder / "notes.txt").write_text("no film, though longer than a preamble of DICOM is " * 5)
    (folder / "cut.dcm").write_bytes(content(film())[:140])
    return folder


REASONS = {
    "cine.dcm": "2 frames, of which none is chosen",
    "cut.dcm": "no picture",
    "map.dcm": "a parametric map",
    "notes.txt": "no DICOM, PNG, JPEG or TIFF file",
    "ours.dcm": "a result of medxgan",
    "report.dcm": "no picture (SR)",
}


def test_every_film_of_a_folder_is_explained_and_the_rest_is_told(service, study: Path, tmp_path: Path) -> None:
    result = run(study, "--server", service.address, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "b"}
    assert all((tmp_path / "out" / name / "panel.png").is_file() for name in "ab")
    assert result.stderr.splitlines() == [f"skipped {name}: {reason}" for name, reason in sorted(REASONS.items())]
    assert service.requests[-1].image.dicom == (study / "series" / "b.dcm").read_bytes()


def test_an_object_of_several_frames_is_taken_where_one_of_them_is_chosen(study: Path) -> None:
    names = [each.name for each in films_of(study, several_frames=True) if isinstance(each, Film)]
    assert names == ["a.dcm", "cine.dcm", "series/b.dcm"]


def test_a_folder_without_a_film_is_said_to_be(service, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run(tmp_path / "empty", "--server", service.address)
    assert result.exit_code == 1
    assert "no film is there" in result.stderr


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """A DICOMDIR of two films, as dcmtk writes it."""
    folder = tmp_path / "disc"
    (folder / "SERIES").mkdir(parents=True)
    for number in (1, 2):
        (folder / "SERIES" / f"IM{number}").write_bytes(content(film(seed=number)))
    subprocess.run([command("dcmmkdir"), "+r", "+I", "+id", folder, "+D", folder / "DICOMDIR"], check=True)
    return folder


@needs_dcmtk
def test_the_films_of_a_dicomdir_are_explained(service, disc: Path, tmp_path: Path) -> None:
    (disc / "stray.dcm").write_bytes(content(film(seed=3)))
    result = run(disc / "DICOMDIR", "--server", service.address, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    # The stray one is named by no record.
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"IM1", "IM2"}
    (disc / "SERIES" / "IM1").unlink()
    gone, left = films_of(disc / "DICOMDIR")
    assert gone == Skipped("SERIES/IM1", "not there, though the DICOMDIR names it")
    assert left.name == "SERIES/IM2"


@needs_dcmtk
def test_a_dicomdir_names_no_file_outside_of_its_folder(disc: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.dcm").write_bytes(content(film()))
    directory = pydicom.dcmread(disc / "DICOMDIR")
    with disable_value_validation():
        for record in directory.DirectoryRecordSequence:
            if "ReferencedFileID" in record:
                record.ReferencedFileID = ["..", "secret.dcm"]
        directory.save_as(disc / "DICOMDIR")
    assert films_of(disc / "DICOMDIR") == []


def test_what_is_no_dicomdir_is_said_to_be_none(service, tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(content(film()))
    result = run(tmp_path / "DICOMDIR", "--server", service.address)
    assert (result.exit_code, "expected a DICOMDIR" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://archive.example/dicom-web/studies/1.2", "expected an https:// address"),
        ("https://archive.example/dicom-web", "expected …/studies/UID"),
        ("https://archive.example/dicom-web/studies/1.2/series/3.4/instances/5.6", "expected …/studies/UID"),
        ("https://archive.example/dicom-web/studies/of-mine", "expected the DICOMweb address of a study"),
    ],
)
def test_an_address_that_can_not_be_used_is_refused(service, address: str, expected: str) -> None:
    result = run(address, "--server", service.address)
    assert result.exit_code == 1
    assert expected in " ".join(result.stderr.split())


@pytest.mark.parametrize("frames", [None, "", 1])
def test_a_film_is_a_film_whatever_it_says_of_its_frames(frames: object) -> None:
    header = film()
    header.NumberOfFrames = frames
    assert no_film(header) == ""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    if MISSING is not None:
        pytest.skip(MISSING)
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.mark.slow
def test_the_films_of_a_study_in_an_archive_are_explained(service, archive: Orthanc, tmp_path: Path) -> None:
    first = film(seed=1, InstanceNumber=2)
    same = {"StudyInstanceUID": first.StudyInstanceUID, "PatientID": first.PatientID}
    second = film(seed=2, InstanceNumber=1, SeriesInstanceUID=first.SeriesInstanceUID, **same)
    other = film(seed=3, SeriesNumber=2, **same)
    ours = film(Manufacturer="medxgan", SeriesNumber=3, **same)
    for each in (first, second, other, ours):
        archive.store(content(each))
    address = f"{archive.url}/dicom-web/studies/{first.StudyInstanceUID}"
    result = run(address, "--server", service.address, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {each.SOPInstanceUID for each in (first, second, other)}
    assert result.stderr.splitlines() == [f"skipped {ours.SOPInstanceUID}: a result of medxgan"]
    sent = [pydicom.dcmread(pydicom.filebase.DicomBytesIO(each.image.dicom)) for each in service.requests[-3:]]
    assert [each.SOPInstanceUID for each in sent] == [each.SOPInstanceUID for each in (second, first, other)]
    assert sent[0].PixelData == second.PixelData

    result = run(f"{address}/series/{other.SeriesInstanceUID}", "--server", service.address, "--out", tmp_path / "one")
    assert result.exit_code == 0, result.stderr
    told = json.loads((tmp_path / "one" / "explanation.json").read_text())
    assert told["verdict"]


@pytest.mark.slow
def test_an_archive_that_lacks_the_study_or_is_away_says_so(archive: Orthanc) -> None:
    url, study, series = study_at(f"{archive.url}/dicom-web/studies/{generate_uid()}")
    with pytest.raises(StudyError, match="does not have this study"):
        Archive(url).films(study, series)
    with pytest.raises(StudyError, match="does not answer"):
        Archive("http://127.0.0.1:9/dicom-web").films(study)


@contextmanager
def archive_that_answers(told: object) -> Iterator[str]:
    """The address of an archive that answers the same whatever it is asked, and warns of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Warning", "299 archive: of Doe^Jane there is more")
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as url:
        yield f"{url}/dicom-web"


@pytest.mark.parametrize("told", [[{}], [{"00080018": {"vr": "UI", "Value": ["1.2.3"]}}], {"error": "none"}, [1]])
def test_an_archive_that_answers_with_something_else_is_an_error_of_the_study(told: object) -> None:
    with archive_that_answers(told) as url:
        with pytest.raises(StudyError):
            Archive(url).films("1.2.3")
        with pytest.raises(StudyError):
            Archive(url).search(StudyQuery("a"))


def told_study(patient: str = "a", **attributes: object) -> dict[str, object]:
    study = pydicom.Dataset()
    with disable_value_validation():
        study.update({"StudyInstanceUID": generate_uid(), "PatientID": patient, **attributes})
        return study.to_json_dict()


def test_an_archive_that_knows_no_pages_is_said_to(caplog: pytest.LogCaptureFixture) -> None:
    studies = [told_study() for _ in range(PAGE + 2)]
    with archive_that_answers(studies) as url:
        found = Archive(url).search(StudyQuery("A"))
    assert (len(found.studies), found.more, found.cut) == (PAGE, True, True)
    assert "Doe" not in caplog.text  # what an archive warns of is not logged
    with archive_that_answers(studies[: PAGE + 1]) as url:
        found = Archive(url).search(StudyQuery("a"))
    assert (len(found.studies), found.more, found.cut) == (PAGE, True, False)


def test_studies_that_were_not_searched_for_are_not_told() -> None:
    query = StudyQuery("a", date(2026, 1, 2), date(2026, 1, 3), "DX")
    fits = told_study(StudyDate="20260103", ModalitiesInStudy=["SR", "DX"], PatientName="Doe^Jane^Q=x")
    with archive_that_answers([fits, told_study(StudyDate="")]) as url:
        first, second = Archive(url).search(query).studies
    assert (first.name, first.day, first.modalities) == ("Doe, Jane Q", "2026-01-03", ("SR", "DX"))
    assert (second.name, second.day, second.objects) == ("", "", None)
    for other in (
        told_study("b"), told_study(StudyDate="20260101"), told_study(StudyDate="20260104"),
        told_study(ModalitiesInStudy="CT"),
    ):  # fmt: skip
        with archive_that_answers([fits, other]) as url, pytest.raises(StudyError, match="not searched for"):
            Archive(url).search(query)


@given(st.dates(max_value=date(9000, 1, 1)), st.integers(0, 100))
def test_days_without_a_patient_are_so_many_at_most(first: date, more: int) -> None:
    last = first + timedelta(more)
    if more >= MOST_DAYS:
        with pytest.raises(QueryError, match="latest: expected at most"):
            StudyQuery(earliest=first, latest=last)
    else:
        asked = StudyQuery(earliest=first, latest=last).filters["StudyDate"].split("-")
        assert [date.fromisoformat(each) for each in asked] == ([first, last] if more else [first])


def test_a_class_of_films_stays_a_film() -> None:
    assert no_film(film(SOPClassUID=ComputedRadiographyImageStorage)) == ""
