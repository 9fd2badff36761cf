"""A reading room on a free port, with a real server behind it, and films that are nobody's."""

import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from tests.web.rooms import LOOPBACK, Opening, entered, opened

from medxgan.server.embedded import EmbeddedServer
from medxgan.web.settings import RoomSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of the phantom's bundle, and of the same that may be asked for steps without end."""
    folder = tmp_path_factory.mktemp("web_models")
    for name in ("phantom", "endless"):
        shutil.copytree(ROOT / "models" / "phantom" / "3", folder / name / "3")
    (folder / "default-model").write_text("phantom\n")
    description = folder / "endless" / "3" / "bundle.json"
    endless = json.loads(description.read_text()) | {"name": "endless"}
    endless["inversion"] |= {"maximum_steps": 100_000_000, "tolerance": 0, "default_solver": "SOLVER_ADAM"}
    description.write_text(json.dumps(endless))
    with EmbeddedServer(folder, "cpu") as server:
        yield server.address


@pytest.fixture(scope="session")
def opening(upstream: str) -> Opening:
    """Opens a reading room; keyword arguments are its settings."""

    def with_settings(**settings: object) -> AbstractContextManager[str]:
        return opened(upstream, RoomSettings(**{"hosts": LOOPBACK, **settings}))  # type: ignore[arg-type]

    return with_settings


@pytest.fixture(scope="module")
def room(opening: Opening) -> Iterator[str]:
    """The URL of a reading room."""
    with opening() as url:
        yield url


@pytest.fixture
def reader(room: str) -> Iterator[httpx.Client]:
    """Somebody with a session of their own."""
    with entered(room) as client:
        yield client
