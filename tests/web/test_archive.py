"""Studies of an archive that speaks DICOMweb, opened in the reading room."""

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom.config import disable_value_validation
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid
from tests.gateway.films import content
from tests.gateway.orthanc import MISSING, Orthanc
from tests.web.browsing import playwright, visited
from tests.web.films import phantom_film
from tests.web.judging import serious, unreachable
from tests.web.rooms import Opening, entered
from typer.testing import CliRunner

from medxgan.client.command.app import app
from medxgan.client.studies.search import MOST_DAYS
from medxgan.web.settings import Limits

STUDY = generate_uid()
AWAY = "http://127.0.0.1:9/dicom-web"


def of_study(number: int, **attributes: object) -> FileDataset:
    about = {"StudyInstanceUID": STUDY, "PatientID": "P-1", "PatientName": "Doe^Jane", "StudyDate": "20260105"}
    film = phantom_film(**(about | {"InstanceNumber": number} | attributes))
    film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return film


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """The address of an archive, and what a study there holds: two films, one with an ill-formed date, and a result.

    The archive has another patient's study of every day of February too.
    """
    if MISSING is not None:
        pytest.skip(MISSING)
    with disable_value_validation():
        objects = [of_study(1), of_study(2, PatientBirthDate="long ago"), of_study(3, Manufacturer="medxgan")]
        files = [content(each) for each in objects]
        others = [
            content(of_study(1, PatientID="42", StudyDate=f"202602{day:02}", StudyInstanceUID=generate_uid()))
            for day in range(1, 29)
        ]
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as archive:
        for file in (*others, *reversed(files)):
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
def test_a_reader_looks_a_study_up(
    browser: playwright.Browser, opening: Opening, study: tuple[str, list[str]], tmp_path: Path
) -> None:
    size = {"width": 1024, "height": 768}
    with opening(archive=study[0]) as url, visited(browser, url, viewport=size) as page:
        page.select_option("#model", "phantom 3")
        page.click("text=Open a study of the archive")
        page.get_by_label("Study Instance UID").fill("12345")
        page.keyboard.press("Enter")
        assert "expected a Study Instance UID" in page.inner_text(".alert")
        page.click(".alert >> text=Close")
        page.get_by_label("Study Instance UID").fill(f" {STUDY} ")
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


@pytest.mark.slow
def test_studies_are_searched_for(
    opening: Opening, study: tuple[str, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with opening(archive=study[0]) as url, entered(url) as reader:
        of_patient = reader.post("/api/archive", json={"patient": "P-1"}).json()
        assert of_patient == {
            "studies": [
                {
                    "study": STUDY,
                    "patient": "P-1",
                    "name": "Doe, Jane",
                    "day": "2026-01-05",
                    "modalities": [of_study(1).Modality],
                    "description": "",
                    "objects": 3,
                }
            ],
            "more": False,
            "cut": False,
        }
        february = {"earliest": "2026-02-01", "latest": "2026-02-28"}
        first = reader.post("/api/archive", json=february).json()
        rest = reader.post("/api/archive", json=february | {"offset": 25}).json()
        assert (len(first["studies"]), first["more"], first["cut"]) == (25, True, False)
        assert (len(rest["studies"]), rest["more"]) == (3, False)
        days = {each["day"] for each in first["studies"] + rest["studies"]}
        assert days == {f"2026-02-{day:02}" for day in range(1, 29)}
        day = {"earliest": "2026-02-03", "latest": "2026-02-03"}
        assert [each["day"] for each in reader.post("/api/archive", json=day).json()["studies"]] == ["2026-02-03"]
        for nothing in (
            day | {"patient": "P-1"},
            day | {"modality": "MR"},
            {"patient": "P"},
            {"patient": "P-1&limit=9"},
        ):
            assert reader.post("/api/archive", json=nothing).json()["studies"] == []
    for told in ("P-1", "Doe", "20260105", STUDY):
        assert not any(told in line for line in caplog.messages)


@pytest.mark.slow
def test_a_reader_searches_and_opens_a_study(
    browser: playwright.Browser, opening: Opening, study: tuple[str, list[str]], tmp_path: Path
) -> None:
    size = {"width": 1024, "height": 768}
    with opening(archive=study[0]) as url, visited(browser, url, viewport=size) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.click("text=Open a study of the archive")
        assert f"up to {MOST_DAYS}" in page.inner_text(".gallery")
        page.get_by_label("Patient ID").fill("P*")
        page.keyboard.press("Enter")
        assert "without * and ?" in page.inner_text(".alert")
        assert page.get_by_label("Patient ID").get_attribute("aria-invalid") == "true"
        page.click(".alert >> text=Close")
        page.get_by_label("Patient ID").fill("")
        page.get_by_label("From").fill("2026-02-01")
        page.get_by_label("To").fill("2026-02-28")
        page.click("button >> text=Search")
        page.wait_for_selector(".cards li")
        assert "25 studies, and there are more" in page.inner_text(".found")
        page.click("text=Show more")
        page.wait_for_selector(".cards li >> nth=27")
        assert page.evaluate("[...document.querySelectorAll('.cards button')].indexOf(document.activeElement)") == 25
        page.get_by_label("Patient ID").fill("P-1")
        for label in ("From", "To"):
            page.get_by_label(label).fill("")
        page.click("button >> text=Search")
        page.wait_for_selector("text=Doe, Jane · P-1")
        assert serious(page) == []
        assert unreachable(page) == []
        page.screenshot(path=tmp_path / "search.png")
        page.click(".cards >> text=2026-01-05")
        page.wait_for_selector("text=2 films, and 1 that is none")
        page.keyboard.press("Enter")  # the focus is on the way back
        page.wait_for_selector("text=Doe, Jane · P-1")
        assert page.url == f"{url}/#/archive"
        assert not any("P-1" in each for each in asked)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "patient"),
        ({"patient": "*"}, "patient"),
        ({"patient": "a?"}, "patient"),
        ({"patient": "a\\b"}, "patient"),
        ({"patient": 42}, "patient"),
        ({"patient": "a" * 65}, "patient"),
        ({"modality": "DX"}, "patient"),
        ({"earliest": "2026-01-01"}, "patient"),
        ({"earliest": "2026-01-01", "latest": "2026-02-01"}, "latest"),
        ({"patient": "a", "earliest": "2026-01-02", "latest": "2026-01-01"}, "latest"),
        ({"patient": "a", "earliest": "yesterday"}, "earliest"),
        ({"patient": "a", "modality": "D*"}, "modality"),
        ({"patient": "a", "offset": -1}, "offset"),
    ],
)
def test_a_search_without_an_end_is_refused(away: httpx.Client, asked: dict[str, object], field: str) -> None:
    told = away.post("/api/archive", json=asked)
    assert (told.status_code, told.json()["error"]["field"]) == (422, field)


@pytest.fixture(scope="module")
def away(opening: Opening) -> Iterator[httpx.Client]:
    """Somebody in a reading room whose archive does not answer."""
    with opening(archive=AWAY) as url, entered(url) as reader:
        yield reader


@pytest.mark.parametrize("study", ["1", "1..2", "1.2.", ".1", "1." * 32 + "1", "a.b", "1.2%0A", "1.2%20"])
def test_what_is_no_uid_is_not_asked_for(away: httpx.Client, study: str) -> None:
    told = away.get(f"/api/archive/{study}")
    assert (told.status_code, told.json()["error"]["field"]) == (422, "study")


def test_an_archive_that_is_away_is_said_to_be(away: httpx.Client) -> None:
    for told in (away.get(f"/api/archive/{STUDY}"), away.post("/api/archive", json={"patient": "a"})):
        assert told.status_code == 502
        assert "does not answer" in told.json()["error"]["message"]
    url = str(away.base_url)
    assert httpx.get(f"{url}/api/archive/{STUDY}").status_code == 401
    assert httpx.post(f"{url}/api/archive/{STUDY}/1.2").status_code == 401
    assert httpx.post(f"{url}/api/archive", json={"patient": "a"}).status_code == 401


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
    assert reader.post("/api/archive", json={"patient": "a"}).status_code == 404


@pytest.mark.usefixtures("plain_terminal")
def test_an_archive_beyond_this_machine_speaks_tls() -> None:
    result = CliRunner().invoke(app, ["web", "--archive", "http://archive.example/dicom-web"])
    assert result.exit_code == 1
    assert "expected an https:// address" in result.output
