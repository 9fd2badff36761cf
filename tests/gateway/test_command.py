"""`medxgan gateway` as a user has it: a process of its own, asked and stopped from outside; and what it writes."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from pydicom.uid import generate_uid
from tests.gateway.conftest import wait_until
from tests.gateway.films import content, film
from tests.gateway.sending import associate, leaves_sockets, send
from tests.ports import free_port

from medxgan.gateway.journal.database import Database, journal_file
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.records import Arrival, State

pytestmark = leaves_sockets


@pytest.fixture
def config(tmp_path: Path, server: str) -> tuple[Path, int, int]:
    """A file of settings, and the ports of DICOM and of the status page."""
    dicom, telemetry = free_port(), free_port()
    (tmp_path / "gateway.toml").write_text(
        f"""
folder = "{tmp_path / "gateway"}"
free_mb = 0
telemetry = "127.0.0.1:{telemetry}"

[server]
address = "{server}"

[dicom]
address = "127.0.0.1:{dicom}"
peers = [{{ ae_title = "SENDER" }}]

[[destinations]]
protocol = "dicom"
name = "archive"
address = "127.0.0.1:1"
ae_title = "ORTHANC"

[retries]
give_up_s = 0.5

[[rules]]
name = "chest films"
when = {{ Modality = ["CR"] }}
model = "phantom"
""",
        encoding="utf-8",
    )
    return tmp_path / "gateway.toml", dicom, telemetry


def gateway(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "tests.gateway.medxgan", "gateway", *arguments]


def ask(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        gateway(*arguments), capture_output=True, text=True, check=False, env=os.environ | {"NO_COLOR": "1"}
    )


@contextmanager
def running(config: Path, telemetry: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            gateway("run", "--config", config, "--log-format", "json"), stdout=output, stderr=subprocess.STDOUT
        )
    try:

        def is_up() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return requests.get(f"http://127.0.0.1:{telemetry}/health/ready", timeout=60).ok
            except requests.ConnectionError:
                return False

        wait_until(is_up)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_gateway_runs_is_asked_and_ends(config: tuple[Path, int, int], tmp_path: Path) -> None:
    file, dicom, telemetry = config
    sent, ignored = film(), film(Modality="MR")
    with running(file, telemetry, tmp_path / "log") as process:
        for each in (sent, ignored):
            assert send(dicom, content(each)) == 0
        page = f"http://127.0.0.1:{telemetry}"
        wait_until(lambda: requests.get(f"{page}/status", timeout=60).json()["films"]["dead"] == 1)
        # The archive is nowhere: the film is dead, and the command says so from another process.
        assert json.loads(ask("status", "--config", file, "--json").stdout)["reasons"]["dead"] == {
            "archive: no association": 1
        }
        assert "dead       1" in ask("status", "--config", file).stdout
        listed = ask("list", "--config", file).stdout.split("\t")
        assert listed[:2] == ["1", "dead"]
        assert listed[4:] == [sent.SOPInstanceUID, "archive: no association\n"]
        others = ask("list", "--config", file, "--state", "ignored", "--state", "delivered").stdout
        assert others.endswith(f"{ignored.SOPInstanceUID}\tno rule takes it (chest films: other Modality)\n")
        assert ask("retry", "--config", file, "1").stdout == "1 films go on\n"
        wait_until(lambda: requests.get(f"{page}/status", timeout=60).json()["films"]["dead"] == 1)
        outcome = ask("retry", "--config", file, "1", "77")
        assert (outcome.returncode, outcome.stdout) == (1, "1 films go on\n")
        # Nobody else may run on this folder.
        second = ask("run", "--config", file)
        assert second.returncode == 1
        assert "another process runs a gateway there" in second.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_nothing_that_is_written_names_a_patient(config: tuple[Path, int, int], tmp_path: Path) -> None:
    file, dicom, telemetry = config
    page = f"http://127.0.0.1:{telemetry}"
    first = film(InstitutionName="PLANTED")
    objects = [
        first,
        film(Modality="MR", StudyDescription="PLANTED"),
        film(Rows=65),
        film(seed=2, SOPInstanceUID=first.SOPInstanceUID),
        film(PixelData=None),
        film(BurnedInAnnotation="YES"),
        # pydicom warns of such a value, and quotes it.
        film(PatientAge="099Y"),
    ]
    sent = [content(each).replace(b"099Y", b"PLAN") for each in objects]
    with running(file, telemetry, tmp_path / "log") as process:
        answers = [send(dicom, each) for each in sent]
        assert answers == [0x0000, 0x0000, 0xC000, 0xC111, 0x0000, 0x0000, 0x0000]
        assert associate(dicom, ("1.2.840.10008.1.1", "1.2.840.10008.1.2"), title="PLANTED").is_rejected
        requests.get(f"{page}/Planted?Planted", timeout=60)

        def is_done() -> bool:
            films = requests.get(f"{page}/status", timeout=60).json()["films"]
            return bool(films["received"] == films["explained"] == 0)

        wait_until(is_done)
        shown = [requests.get(f"{page}/{path}", timeout=60).text for path in ("", "status", "metrics")]
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    log = (tmp_path / "log").read_text()
    asked = [ask(name, "--config", file).stdout for name in ("status", "list")]
    database = b"".join(path.read_bytes() for path in (tmp_path / "gateway").glob("journal*"))
    for text in (log, *shown, *asked, database.decode("latin-1")):
        assert re.search("planted|plan\\b", text, re.IGNORECASE) is None, text
    # Whoever reads the log or the figures alone does not even learn UIDs.
    for text in (log, *shown):
        assert first.SOPInstanceUID not in text
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert {"gateway runs", "object came", "explaining", "results sent", "association rejected"} <= set(events)


def test_a_folder_where_no_gateway_has_run_is_said(config: tuple[Path, int, int]) -> None:
    outcome = ask("status", "--config", config[0])
    assert outcome.returncode == 1
    assert "no gateway has run there" in outcome.stderr


def test_wrong_settings_are_said(config: tuple[Path, int, int]) -> None:
    config[0].write_text("folder = 1")
    outcome = ask("run", "--config", config[0])
    assert outcome.returncode == 1
    assert "destinations: Field required" in outcome.stderr


def test_retry_takes_numbers_or_all(config: tuple[Path, int, int], tmp_path: Path) -> None:
    assert ask("retry", "--config", config[0]).returncode == 2
    assert ask("retry", "--config", config[0], "1", "--all").returncode == 2
    (tmp_path / "gateway").mkdir()
    database = Database(journal_file(tmp_path / "gateway"))
    journal = Journal(database)
    for number in (1, 2):
        journal.arrive(Arrival(generate_uid(), "1.2", "0", "dicom", "phantom", "", "rule"), f"{number}.dcm")
        journal.give_up(number, State.FAILED, "reason")
    assert ask("retry", "--config", config[0], "--all").stdout == "2 films go on\n"
    assert journal.counts()[State.RECEIVED] == 2
    database.close()
