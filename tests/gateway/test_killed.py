"""kill -9 at every step of a film's way: afterwards the archive has each result once."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gateway.conftest import Settings, wait_until
from tests.gateway.films import content, film
from tests.gateway.killed import STEPS
from tests.gateway.orthanc import MISSING, TITLE, Orthanc
from tests.gateway.sending import leaves_sockets, send

from medxgan.gateway.gateway import Gateway
from medxgan.gateway.journal.database import Database, journal_file
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.records import State

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.skipif(MISSING is not None, reason=str(MISSING)), *leaves_sockets]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("archive")) as running:
        yield running


@pytest.mark.parametrize("step", STEPS)
def test_each_result_is_there_once(
    step: str, archive: Orthanc, server: str, settings: Settings, tmp_path: Path
) -> None:
    made = settings(
        server={"address": server},
        telemetry=None,
        destinations=[
            {
                "protocol": "dicom",
                "name": "archive",
                "address": f"127.0.0.1:{archive.dicom_port}",
                "ae_title": TITLE,
            }
        ],
    )
    sent = film()
    port_file = tmp_path / "port"
    killed = subprocess.Popen(
        [sys.executable, "-m", "tests.gateway.killed", made.model_dump_json(), step, str(port_file)], cwd=ROOT
    )
    try:
        wait_until(lambda: port_file.exists() or killed.poll() is not None)
        answer = send(int(port_file.read_text()), content(sent))
        assert killed.wait(timeout=60) == -signal.SIGKILL
    finally:
        killed.kill()
        killed.wait()

    with Gateway(made) as gateway:
        if answer != 0:
            # Nothing was promised: a modality sends a film again that it got no answer for.
            assert send(gateway.dicom_port, content(sent)) == 0
        wait_until(lambda: _states(made.folder)[State.DELIVERED] == 1)
    results = Counter(
        each["SOPClassUID"] for each in archive.of_study(sent.StudyInstanceUID) if each["Modality"] != sent.Modality
    )
    assert len(results) >= 2
    assert set(results.values()) == {1}
    assert sum(_states(made.folder).values()) == 1
    # No file is left that no row names, after the next start.
    with Gateway(made):
        films, kept = list((made.folder / "films").iterdir()), list((made.folder / "results").iterdir())
    assert len(films) == 1
    assert len(kept) == sum(results.values())


def _states(folder: Path) -> dict[State, int]:
    database = Database(journal_file(folder))
    try:
        return dict(Journal(database).counts())
    finally:
        database.close()
