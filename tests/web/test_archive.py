"""Studies of an archive that speaks DICOMweb, opened in the reading room."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom.config import disable_value_validation
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid
from tests.gateway.films import content
from tests.gateway.orthanc import MISSING, Orthanc
from tests.web.films import phantom_film
from tests.web.judging import serious, unreachable
from tests.web.rooms import Opening, entered
from tests.web.test_browser import CHROMIUM, FLAGS, playwright, visited
from typer.testing import CliRunner

from medxgan.client.command.app import app
from medxgan.web.settings import Limits

STUDY = generate_uid()
AWAY = "http://127.0.0.1:9/dicom-web"


def of_study(number: int, **attributes: object) -> FileDataset:
    film = phantom_film(StudyInstanceUID=STUDY, InstanceNumber=number, **attributes)
    film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return film


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """The address of an archive, and what a study there holds: two films, one with an ill-formed date, and a result."""
    if MISSING is not None:
        pytest.skip(MISSING)
    with disable_value_validation():
        objects = [of_study(1), of_study(2, PatientBirthDate="long ago"), of_study(3, Manufacturer="medxgan")]
        files = [content(each) for each in objects]
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as archive:
        for file in reversed(files):
            archive.store(file)
        yield f"{archive.url}/dicom-web", [each.SOPInstanceUID for each in objects]


@pytest.mark.slow
def test_the_films_of_a_study_open(opening: Opening, study: tuple[str, list[str]]) -> None:
    address, (first, second, ours) = study
    with opening(archive=address) as url, entered(url) as reader:
        assert reader.get("/api/session").json()["archive"] is True
        assert reader.get(f"/api/archive/{STUDY}").json() == [
            {"instance": first, "skipped": ""},
            {"instance": second, "skipped": ""},
            {"instance": ours, "skipped": "a result of medxgan"},
        ]
        film = reader.post(f"/api/archive/{STUDY}/{first}")
        assert (film.status_code, film.json()["rows"]) == (201, 512)
        assert film.json()["makes_dicom"] is True
        assert reader.post(f"/api/archive/{STUDY}/{second}").status_code == 201
        assert reader.post(f"/api/archive/{STUDY}/{ours}").json()["error"]["message"].endswith("a result of medxgan")
        assert reader.post(f"/api/archive/{STUDY}/{generate_uid()}").status_code == 404
        unknown = reader.get(f"/api/archive/{generate_uid()}")
        assert (unknown.status_code, unknown.json()["error"]["message"]) == (
            502,
            "the archive does not have this study",
        )
    with opening(archive=address, limits=Limits(film_bytes=1000)) as url, entered(url) as reader:
        assert "more than 1,000 bytes" in reader.post(f"/api/archive/{STUDY}/{first}").json()["error"]["message"]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Debian's package chromium is not installed")
def test_a_reader_looks_a_study_up(opening: Opening, study: tuple[str, list[str]], tmp_path: Path) -> None:
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        size = {"width": 1024, "height": 768}
        with opening(archive=study[0]) as url, visited(browser, url, viewport=size) as page:
            page.select_option("#model", "phantom 3")
            page.click("text=Open a study of the archive")
            page.fill("input[type=text]", "12345")
            page.keyboard.press("Enter")
            assert "expected a Study Instance UID" in page.inner_text(".alert")
            page.click(".alert >> text=Close")
            page.fill("input[type=text]", f" {STUDY} ")
            page.keyboard.press("Enter")
            page.wait_for_selector(".cards li")
            assert page.locator(".cards strong").all_inner_texts() == [
                "Film 1 of the study", "Film 2 of the study", "Object 3 of the study"
            ]  # fmt: skip
            assert "2 films, and 1 that is none" in page.inner_text(".found")
            assert serious(page) == []
            assert unreachable(page) == []
            page.screenshot(path=tmp_path / "archive.png")
            assert STUDY not in page.url
            page.click("text=Film 1 of the study")
            page.wait_for_selector(".legend >> text=Difference")
            assert page.inner_text(".subject") == "Film 1 of the study"
            page.go_back()
            page.wait_for_selector(".cards li")  # the study is looked up again
        browser.close()


@pytest.mark.parametrize("study", ["1", "1..2", "1.2.", ".1", "1." * 32 + "1", "a.b", "1.2%0A", "1.2%20"])
def test_what_is_no_uid_is_not_asked_for(opening: Opening, study: str) -> None:
    with opening(archive=AWAY) as url, entered(url) as reader:
        told = reader.get(f"/api/archive/{study}")
        assert (told.status_code, told.json()["error"]["field"]) == (422, "study")


def test_an_archive_that_is_away_is_said_to_be(opening: Opening) -> None:
    with opening(archive=AWAY) as url, entered(url) as reader:
        told = reader.get(f"/api/archive/{STUDY}")
        assert told.status_code == 502
        assert "does not answer" in told.json()["error"]["message"]
        assert httpx.get(f"{url}/api/archive/{STUDY}").status_code == 401
        assert httpx.post(f"{url}/api/archive/{STUDY}/1.2").status_code == 401


def test_a_password_that_went_away_is_named_by_no_path(opening: Opening, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("ours")
    with opening(archive=AWAY, archive_user="reader", archive_password_file=password) as url, entered(url) as reader:
        password.unlink()
        said = reader.get(f"/api/archive/{STUDY}").json()["error"]["message"]
        assert "can't read its password" in said
        assert str(tmp_path) not in said


def test_a_room_without_an_archive_says_so(reader: httpx.Client) -> None:
    assert reader.get("/api/session").json()["archive"] is False
    assert reader.get(f"/api/archive/{STUDY}").status_code == 404


@pytest.mark.usefixtures("plain_terminal")
def test_an_archive_beyond_this_machine_speaks_tls() -> None:
    result = CliRunner().invoke(app, ["web", "--archive", "http://archive.example/dicom-web"])
    assert result.exit_code == 1
    assert "expected an https:// address" in result.output
