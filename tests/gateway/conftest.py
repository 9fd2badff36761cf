"""Parts of a gateway, and a real server and a real archive for them."""

import gc
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.orthanc import MISSING, Orthanc

from medxgan.gateway.journal.database import Database
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.settings import GatewaySettings
from medxgan.server.embedded import EmbeddedServer

MODELS = Path(__file__).parents[2] / "models"

RULE = {"name": "chest films", "when": {"Modality": ["CR", "DX"]}, "model": "phantom"}

Settings = Callable[..., GatewaySettings]


class MovedClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def journal(database: Database, clock: MovedClock) -> Journal:
    return Journal(database, clock)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of the shipped phantom."""
    models = tmp_path_factory.mktemp("phantom")
    shutil.copytree(MODELS / "phantom", models / "phantom")
    with EmbeddedServer(models, "cpu") as running:
        yield running.address


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """An archive of this test's own."""
    if MISSING is not None:
        pytest.skip(MISSING)
    (tmp_path / "orthanc").mkdir()
    with Orthanc(tmp_path / "orthanc") as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Makes settings of a gateway in this test's folder; keyword arguments take the place of the defaults here."""

    def make(**changes: Any) -> GatewaySettings:
        plain = {
            "folder": tmp_path / "gateway",
            "free_mb": 0,
            "telemetry": "127.0.0.1:0",
            "dicom": {"address": "127.0.0.1:0", "peers": [{"ae_title": "SENDER"}, {"ae_title": "ORTHANC"}]},
            "destinations": [
                {"protocol": "dicom", "name": "archive", "address": "127.0.0.1:1", "ae_title": "ORTHANC"},
            ],
            "outputs": {"show_unreliable": True},
            "retries": {"first_s": 0.1, "longest_s": 1.0},
            "rules": [RULE],
        }
        return GatewaySettings.model_validate(plain | changes)

    return make


@pytest.fixture
def collected_sockets() -> Iterator[None]:
    """Has the garbage collector close what a test leaves, before another test hears of it."""
    gc.freeze()  # what there was before the test is not looked through
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.unfreeze()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what a gateway does in its own time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
