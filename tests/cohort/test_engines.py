"""The same run by other engines, to the bit: one process or several workers, and Ray, of which a machine dies."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cohort.runs import QUICK, assert_same, cohort, rows_of, succeed

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain_terminal")]


def test_workers_change_nothing(listed: Path, finished: Path, models: Path, tmp_path: Path) -> None:
    """An embedded server with two copies of the model gives what the named one gave; a run goes on with either engine's
    work, but not with what a named server's batch may be."""
    two = succeed(listed, tmp_path / "two", "--models", models, "--provider", "cpu", "--workers", 2)
    for row, other in zip(rows_of(two), rows_of(finished), strict=True):
        assert (row["film"], row["score"], row["difference_mean"]) == (
            other["film"],
            other["score"],
            other["difference_mean"],
        )
    assert_same(two, finished)
    result = cohort(listed, finished, "--models", models, "--provider", "cpu")
    assert result.exit_code == 1
    assert "batch began as None, and is 1 now" in " ".join(result.output.split())


class TestRay:
    """A cluster of two machines, both this one."""

    @pytest.fixture(scope="class")
    def cluster(self) -> Iterator["object"]:
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'medxgan[ray]'")
        from tests.cohort.clusters import running_cluster

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_AUTH_MODE", "disabled")
            patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
            with running_cluster(2, 1) as cluster:
                yield cluster

    def process(self, cluster: object, listed: Path, models: Path, run: Path) -> "subprocess.Popen[str]":
        """The command as a process of its own: Ray leaves threads and sockets to the interpreter's end."""
        call = "import sys; sys.argv[0] = 'medxgan'; from medxgan.client.command import main; main()"
        options = ("--models", models, "--provider", "cpu", "--workers", 2, "--ray", cluster.address)  # type: ignore[attr-defined]
        return subprocess.Popen(
            [sys.executable, "-c", call, *map(str, ("cohort", listed, "--out", run, *QUICK, *options))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def test_ray_changes_nothing(
        self, cluster: object, listed: Path, finished: Path, models: Path, tmp_path: Path
    ) -> None:
        with self.process(cluster, listed, models, tmp_path / "run") as process:
            output, _ = process.communicate(timeout=280)
        assert process.returncode == 0, output
        assert_same(tmp_path / "run", finished)

    @pytest.mark.timeout(600)
    def test_a_machine_that_dies_takes_no_film_with_it(
        self, cluster: object, listed: Path, finished: Path, models: Path, tmp_path: Path
    ) -> None:
        run = tmp_path / "run"
        with self.process(cluster, listed, models, run) as process:
            while process.poll() is None and not list((run / "rows").glob("*.parquet")):
                time.sleep(0.05)
            (worker,) = cluster.worker_nodes  # type: ignore[attr-defined]
            cluster.remove_node(worker, allow_graceful=False)  # type: ignore[attr-defined]
            output, _ = process.communicate(timeout=500)
        assert process.returncode == 0, output
        assert_same(run, finished)
        assert [row["row"] for row in rows_of(run)] == list(range(len(rows_of(finished))))
