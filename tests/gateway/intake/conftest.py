"""A receiver with all that it works with."""

from pathlib import Path

import pytest
from tests.gateway.conftest import RULE

from medxgan.gateway.intake.reception import Receiver
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.rules import Rule
from medxgan.gateway.telemetry.metrics import Metrics


@pytest.fixture
def films(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "films")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def receiver(journal: Journal, films: FileStore, metrics: Metrics) -> Receiver:
    return Receiver(journal, films, (Rule.model_validate(RULE),), free_bytes=0, metrics=metrics)
