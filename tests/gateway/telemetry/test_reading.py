"""What a reading room may have of a gateway, and who may not."""

import io
from pathlib import Path

import pydicom
import pytest
import requests
from tests.gateway.conftest import MovedClock, Settings, wait_until
from tests.gateway.films import PATIENT_ID, content, film
from tests.gateway.sending import leaves_sockets, send

from medxgan.client import MapKind
from medxgan.client.answers import kept_explanation
from medxgan.gateway.gateway import Gateway
from medxgan.gateway.journal.database import Database
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.retention import Retention
from medxgan.gateway.settings import RetentionSettings

pytestmark = leaves_sockets

TOKEN = {"Authorization": "Bearer a-token-of-ours"}


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("a-token-of-ours\n")
    return tmp_path / "token"


def test_films_and_what_the_server_said_of_them_are_read_with_the_token(
    server: str, settings: Settings, token_file: Path, tmp_path: Path
) -> None:
    with Gateway(settings(server={"address": server}, reading={"token_file": token_file})) as gateway:
        page = f"http://127.0.0.1:{gateway.telemetry_port}/films"
        sent = film()
        for each in (sent, film(Modality="MR")):
            send(gateway.dicom_port, content(each))
        wait_until(
            lambda: [one["state"] for one in requests.get(page, headers=TOKEN, timeout=5).json()] == ["explained"]
        )
        listed = requests.get(page, headers=TOKEN, timeout=5)
        (line,) = listed.json()
        assert (line["number"], line["model"], line["explained"]) == (1, "phantom", True)
        assert not any(said in listed.text for said in (PATIENT_ID, sent.SOPInstanceUID, sent.StudyInstanceUID))
        fetched = requests.get(f"{page}/1", headers=TOKEN, timeout=5).content
        assert pydicom.dcmread(io.BytesIO(fetched)).PixelData == sent.PixelData
        said = kept_explanation(requests.get(f"{page}/1/explanation", headers=TOKEN, timeout=5).content)
        assert said.verdict.status.value == line["verdict"]
        assert {MapKind.DIFFERENCE, MapKind.NEGATIVE_REALIZATION} <= set(said.maps)
        for path, status in (("/2", 404), ("/77/explanation", 404), ("/1/other", 404), ("/../1", 404)):
            assert requests.get(page + path, headers=TOKEN, timeout=5).status_code == status
        for headers in ({}, {"Authorization": "Bearer another"}, {"Authorization": "Basic YTpi"}):
            for path in ("", "/1", "/1/explanation"):
                assert requests.get(page + path, headers=headers, timeout=5).status_code == 401
    # What belongs to no film any more goes at the next start.
    (tmp_path / "gateway" / "answers" / "stray.dcm").write_bytes(b"")
    with Gateway(settings(server={"address": server}, reading={"token_file": token_file})):
        assert len(list((tmp_path / "gateway" / "answers").iterdir())) == 1


def test_without_a_token_nobody_reads_films_and_nothing_more_is_kept(
    server: str, settings: Settings, tmp_path: Path
) -> None:
    FileStore(tmp_path / "gateway" / "answers").write(b"of a time when there was a token", "film.dcm")
    with Gateway(settings(server={"address": server})) as gateway:
        assert requests.get(f"http://127.0.0.1:{gateway.telemetry_port}/films", timeout=5).status_code == 404
    assert not (tmp_path / "gateway" / "answers").exists()


def test_an_answer_is_deleted_with_its_film(database: Database, clock: MovedClock, tmp_path: Path) -> None:
    films, results, answers = (FileStore(tmp_path / name) for name in ("films", "results", "answers"))
    name = films.write(b"film")
    answers.write(b"answer", name)
    database.rows(
        "INSERT INTO films (sop_instance_uid, sop_class_uid, pixels_sha256, source, file, state, rule, reason,"
        " received, changed, next_attempt) VALUES ('1', '2', '3', 'dicom', ?, 'delivered', '', '', 0, 0, 0)",
        name,
    )
    Retention(database, films, results, RetentionSettings(), clock, answers).step()
    assert not answers.path(name).exists()


def test_an_empty_token_is_refused(server: str, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with (
        pytest.raises(ValueError, match="expected a token"),
        Gateway(settings(server={"address": server}, reading={"token_file": tmp_path / "empty"})),
    ):
        pass
