"""A server of the phantom's bundle that explains each film by itself, and films."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cohort.films import write_source
from tests.cohort.runs import succeed

from medxgan.server.embedded import EmbeddedServer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the phantom's bundle alone."""
    folder = tmp_path_factory.mktemp("cohort_models")
    shutil.copytree(ROOT / "models" / "phantom" / "3", folder / "phantom" / "3")
    return folder


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[str]:
    """The address of a server that batches nothing."""
    with EmbeddedServer(models, "cpu", maximum_batch=1, threads=1) as running:
        yield running.address


@pytest.fixture(scope="session")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of films, to read and not to change."""
    return write_source(tmp_path_factory.mktemp("cohort") / "films")


@pytest.fixture(scope="session")
def finished(listed: Path, server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of these films, to read and not to change."""
    return succeed(listed, tmp_path_factory.mktemp("cohort_run") / "run", "--server", server)


@pytest.fixture
def quick_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without what takes longer than their films: the pictures of their reports, and patience with a server that
    is away before they begin."""
    for kind in ("_svg", "_png"):
        monkeypatch.setattr(f"medxgan.cohort.report.plots.{kind}", lambda _: "data:,")
    monkeypatch.setattr("medxgan.cohort.endpoint.FIRST_PATIENCE", 0.1)
