"""A real cluster of Ray, once for a module."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

STARTS = 3
MARK = "MEDXGAN_TEST_CLUSTER"
"""Variable by which the cluster's processes are known, whoever started them."""


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("", 0))
        port: int = chosen.getsockname()[1]
        return port


class RayCluster:
    """A cluster in processes of its own.

    Attributes:
        environment: of its processes.
        port: of the first node's proxy.
        worker_port: of the second node's.
        address: of the cluster.
    """

    def __init__(self, folder: Path) -> None:
        self._mark = uuid.uuid4().hex
        self.port, self.worker_port = free_port(), free_port()
        self._log = (folder / "log").open("w+")
        root = Path(__file__).parents[3]
        paths = [str(root / "tests" / "without"), str(root), *filter(None, sys.path)]
        self.environment = os.environ | {
            MARK: self._mark,
            "PYTHONPATH": os.pathsep.join(paths),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            "RAY_raylet_start_wait_time_s": "60",
            # Two nodes on one machine, each with a proxy.
            "RAY_SERVE_WORKER_PROXY_GRPC_PORT": str(self.worker_port),
            "OMP_NUM_THREADS": "1",
        }
        for name in ("PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE"):
            self.environment.pop(name, None)
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("ray_process.py"), folder],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        try:
            self._answer()
        except BaseException:
            self.kill()
            raise
        self.address: str = self.order("address")

    def order(self, name: str, **arguments: object) -> Any:
        """Give an order and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"{name}: {answer['error']}")
        return answer

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ANSWER "):
                return json.loads(line.removeprefix("ANSWER "))
        self._log.seek(0)
        raise ChildProcessError(self._log.read()[-3000:])

    def end(self) -> None:
        """End it in order."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(120)

    def kill(self) -> None:
        """End whatever is left of the cluster."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            assert stream is not None
            stream.close()
        # Twice: one that was about to be started has a parent that ends first.
        for _ in range(2):
            for process in self.processes():
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def processes(self) -> list[int]:
        """Of the cluster, that run."""
        return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if self._is_ours(folder)]

    def _is_ours(self, folder: Path) -> bool:
        try:
            return f"{MARK}={self._mark}".encode() in (folder / "environ").read_bytes()
        except OSError:
            return False


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Two nodes of one CPU each; nothing is served on it yet."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    # Sockets have paths of at most 107 bytes, which pytest's own folders would use up.
    folder = Path(tempfile.mkdtemp(prefix="medxgan-ray-"))
    try:
        for start in range(STARTS):
            try:
                running = RayCluster(folder)
                break
            except ChildProcessError as error:
                # A raylet waits 15 seconds for an agent in Python, and ends where a busy machine takes longer.
                if start == STARTS - 1:
                    pytest.skip(f"Ray did not start in {STARTS} tries: {str(error)[-300:]}")
        try:
            yield running
            running.end()
        finally:
            running.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
