"""A reading room on a free port, with a real server behind it, and films that are nobody's."""

import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.web.rooms import LOOPBACK, Opening, entered, opened

from medxgan.server.embedded import EmbeddedServer
from medxgan.web.settings import RoomSettings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# A browser is imported where there is one: most tests do without.

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


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser, in which each page has a context of its own."""
    from tests.web.browsing import launched

    with launched() as browser:
        yield browser


@pytest.fixture
def page(browser: "Browser", room: str) -> Iterator["Page"]:
    """A page of the reading room, in a session of its own; nothing may go wrong in it unseen."""
    from tests.web.browsing import visited

    with visited(browser, room) as page:
        yield page
