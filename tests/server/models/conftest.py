"""What the tests of models share."""

from pathlib import Path

import pytest
from tests.server.models.houses import House


@pytest.fixture
def house(several_folder: Path, tmp_path: Path) -> House:
    """A folder with "lung/9"."""
    found = House(tmp_path / "models", several_folder)
    found.put("lung/9", "first")
    return found
