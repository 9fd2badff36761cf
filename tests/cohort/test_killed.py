"""kill -9 at every moment of a run: afterwards it is what an uninterrupted one is."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cohort.killed import MOMENTS
from tests.cohort.runs import QUICK, assert_same, succeed, table_of

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain_terminal", "quick_runs")]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_goes_on(moment: str, listed: Path, finished: Path, server: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--server", server)
    outcome = subprocess.run(
        [sys.executable, "-m", "tests.cohort.killed", moment, listed, run, *QUICK, *options],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == -signal.SIGKILL, outcome.stderr
    done = {file: file.stat().st_mtime_ns for file in (run / "rows").glob("*.parquet")}
    succeed(listed, run, *options)
    assert_same(run, finished)
    assert {file: file.stat().st_mtime_ns for file in done} == done, "what was done is not done again"
    assert table_of(run)["row"].to_pylist() == list(range(len(table_of(finished))))
    left_over = [path for path in run.rglob("*") if path.name.endswith((".partial", ".unfinished"))]
    assert not left_over
