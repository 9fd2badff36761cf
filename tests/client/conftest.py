"""What the tests of the client share: a service whose answers they choose, and pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.client.clients import Blocking
from tests.client.fake_service import FakeService

from medxgan.client import Client, Explanation, InversionSettings, MapKind, Settings


@pytest.fixture
def service() -> Iterator[FakeService]:
    """A fake service that is up."""
    fake = FakeService()
    fake.start()
    yield fake
    fake.hold.set()
    fake.stop()


@pytest.fixture
def explanation(service, grey) -> Explanation:
    """A usual one, of a positive image."""
    with Client(service.address) as client:
        return client.explain(grey)


@pytest.fixture
def whole(service, grey) -> Explanation:
    """An explanation of a negative image with all that can be asked for."""
    service.answer.scores.original.probability, service.answer.scores.original.positive = 0.2, False
    settings = Settings(inversion=InversionSettings(restarts=4))
    with Client(service.address) as client:
        return client.explain(grey, settings=settings, maps=list(MapKind), trajectory=5)


@pytest.fixture
def grey() -> NDArray[np.uint8]:
    """A small grey picture, [9, 8] uint8."""
    return np.arange(72, dtype=np.uint8).reshape(9, 8)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A film of the command's."""
    path = tmp_path / "film.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    return path


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sheets are laid out and not drawn, which takes longer than all else."""
    monkeypatch.setattr("medxgan.client.pictures.sheet.Figure.savefig", lambda _, file, **__: Path(file).touch())


@pytest.fixture(autouse=True)
def no_bundles_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bundles that are installed on this machine are not found."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
    monkeypatch.setattr("medxgan.client.command.bundle_search.MODELS_PACKAGE", "medxgan_models_of_no_one")


@pytest.fixture(params=[Client, Blocking], ids=["Client", "AsyncClient"])
def make(request) -> Any:
    return request.param


@pytest.fixture
def client(service, make):
    with make(service.address, timeout=60) as client:
        yield client
