"""The same run by embedded servers of several workers, to the bit."""

from pathlib import Path

import pytest
from tests.cohort.runs import assert_same, cohort, succeed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain_terminal", "quick_runs")]


def test_workers_change_nothing(listed: Path, finished: Path, models: Path, tmp_path: Path) -> None:
    """Two copies of the model in an embedded server give what the named one gave. A run of the one does not go on with
    the other, whose batch may be any."""
    two = succeed(listed, tmp_path / "two", "--models", models, "--provider", "cpu", "--workers", 2)
    assert_same(two, finished)
    result = cohort(listed, finished, "--models", models, "--provider", "cpu")
    assert result.exit_code == 1
    assert "batch began as None, and is 1 now" in " ".join(result.output.split())
