"""The same run by several processes, each with an embedded server, to the bit; what happens when one of them ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cohort.runs import assert_same, cohort, started, succeed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain_terminal", "quick_runs")]


def test_workers_change_nothing(listed: Path, finished: Path, models: Path, tmp_path: Path) -> None:
    """Two processes with servers of their own give what the named one gave. A run of the one does not go on with the
    other, whose batch may be any."""
    two = succeed(listed, tmp_path / "two", "--models", models, "--provider", "cpu", "--workers", 2)
    assert_same(two, finished)
    result = cohort(listed, finished, "--models", models, "--provider", "cpu")
    assert result.exit_code == 1
    assert "batch began as None, and is 1 now" in " ".join(result.output.split())


@contextmanager
def begun(listed: Path, models: Path, run: Path) -> Iterator["subprocess.Popen[str]"]:
    """The command with two processes, once they are there: they take a while to load the models."""
    with started(listed, run, "--models", models, "--provider", "cpu", "--workers", 2) as command:
        while command.poll() is None and len(explaining(command)) < 2:
            time.sleep(0.01)
        yield command


def explaining(command: "subprocess.Popen[str]") -> list[int]:
    """The processes that explain for a command."""
    children = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
    return [child for child in map(int, children) if b"spawn_main" in command_line(child)]


def command_line(process: int) -> bytes:
    """Of a process; nothing of one that has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@needs_proc
def test_a_process_that_dies_ends_the_run_which_goes_on(
    listed: Path, finished: Path, models: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with begun(listed, models, run) as command:
        first, _ = explaining(command)
        os.kill(first, signal.SIGKILL)
        output, _ = command.communicate()
    assert command.returncode == 1
    assert "exit code -9); the same command goes on where it was" in " ".join(output.split())
    succeed(listed, run, "--models", models, "--provider", "cpu", "--workers", 2)
    assert_same(run, finished)


@needs_proc
def test_a_command_that_is_killed_leaves_no_process(listed: Path, models: Path, tmp_path: Path) -> None:
    with begun(listed, models, tmp_path / "run") as command:
        processes = explaining(command)
        command.kill()
    assert len(processes) == 2
    while any(map(command_line, processes)):
        time.sleep(0.01)  # a process that goes on ends this test by its timeout
