"""The same run by Ray, to the bit, on a cluster of two machines, one of which dies."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cohort.runs import ROOT, assert_same, rows_of, started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    # Ray forgets processes and sockets of its nodes, which Python tells wherever it collects garbage.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of Ray, both on this machine: the head with two processors, and one with one."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'medxgan[ray]'")
    from tests.cohort.clusters import running_cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(ROOT / "tests" / "without"), prepend=os.pathsep)
        with running_cluster(2, 1) as running:
            yield running


def on_the_cluster(cluster: Any, listed: Path, models: Path, run: Path) -> "subprocess.Popen[str]":
    """The command as a process of its own: Ray leaves threads and sockets to an interpreter's end."""
    options = ("--models", models, "--provider", "cpu", "--workers", 2, "--ray", cluster.address)
    return started(listed, run, *options)


def test_ray_changes_nothing(cluster: Any, listed: Path, finished: Path, models: Path, tmp_path: Path) -> None:
    with on_the_cluster(cluster, listed, models, tmp_path / "run") as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert_same(tmp_path / "run", finished)


def test_a_machine_that_dies_takes_no_film_with_it(
    cluster: Any, listed: Path, finished: Path, models: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with on_the_cluster(cluster, listed, models, run) as process:
        while process.poll() is None and not list((run / "rows").glob("*.parquet")):
            time.sleep(0.05)
        (machine,) = cluster.worker_nodes
        cluster.remove_node(machine, allow_graceful=False)
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert_same(run, finished)
    assert [row["row"] for row in rows_of(run)] == list(range(len(rows_of(finished))))
