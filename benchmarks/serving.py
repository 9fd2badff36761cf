"""A real `medxgan serve` under test, and what it holds: memory and descriptors, read from /proc."""

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Memory:
    """Megabytes of the server itself, which holds all that waits, and of its workers, which hold what they decode."""

    server: float
    workers: float

    @property
    def together(self) -> float:
        """Both."""
        return self.server + self.workers


@dataclass
class Server:
    """A server under test.

    Attributes:
        address: that it serves on.
        process: of it.
        telemetry: port of its figures; 0 where it tells none.
        is_stopped: whether it was told to end.
    """

    address: str
    process: "subprocess.Popen[str]"
    telemetry: int = 0
    is_stopped: bool = field(default=False)

    def memory_megabytes(self) -> Memory:
        """Private memory now."""
        workers = sum(_private_kilobytes(process) for process in _descendants(self.process.pid))
        return Memory(_private_kilobytes(self.process.pid) / 1024, workers / 1024)

    def descriptors(self) -> int:
        """File descriptors that it has open."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    def work_inside(self) -> float:
        """Explanations under way or waiting, as it tells itself."""
        return sum(value for sample, value in self.figures().items() if sample.startswith("medxgan_work_inside{"))

    def figures(self) -> dict[str, float]:
        """What it tells of itself, by names with their labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.telemetry}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {sample: float(value) for sample, _, value in samples}

    def end(self, number: signal.Signals) -> None:
        """Send it a signal that ends it."""
        self.is_stopped = True
        self.process.send_signal(number)


def _status(process: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _private_kilobytes(process: int) -> int:
    status = _status(process)
    return sum(int(status.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssShmem"))


def _descendants(process: int) -> list[int]:
    parents = {int(entry.name): _status(int(entry.name)).get("PPid") for entry in Path("/proc").glob("[0-9]*")}
    found, frontier = [], {str(process)}
    while frontier:
        children = [child for child, parent in parents.items() if parent in frontier]
        found += children
        frontier = {str(child) for child in children}
    return found


@contextmanager
def served(*options: object, port: int = 0, models: Path = ROOT / "models") -> Iterator[Server]:
    """`medxgan serve` with the shipped bundles, on a free port or on this one; it must live to the end, or be ended."""
    command = [Path(sys.executable).with_name("medxgan"), "serve", "--models", models]
    command += ["--address", f"127.0.0.1:{port}", "--log-format", "json", "--log-level", "info", *map(str, options)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        serving = _serving(process)
        reading = threading.Thread(target=lambda: [None for _ in process.stderr])
        reading.start()
        server = Server(serving["address"], process, serving.get("telemetry_port", 0))
        try:
            yield server
            if process.poll() is not None and not server.is_stopped:
                sys.exit(f"the server ended with status {process.returncode}")
        finally:
            process.terminate()
            reading.join()


def _serving(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What it says once it serves."""
    said = []
    for line in process.stderr:
        said.append(line)
        if '"serving"' in line:
            serving: dict[str, Any] = json.loads(line)
            return serving
    sys.exit(f"the server did not start:\n{''.join(said)}")


class Repeated:
    """Does something over and over in a thread of its own, for as long as its context lasts."""

    pause: float
    """Seconds between twice."""

    def once(self) -> None:
        """What is done."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._repeat)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _repeat(self) -> None:
        while not self._ends.wait(self.pause):
            self.once()


class MemoryWatch(Repeated):
    """Notes the highest private memory of the server and its workers together, and that of the server by itself."""

    def __init__(self, server: Server, pause: float = 0.05) -> None:
        self._server = server
        self.pause = pause
        self.together = self.alone = 0.0

    def once(self) -> None:
        """Look."""
        memory = self._server.memory_megabytes()
        self.together, self.alone = max(self.together, memory.together), max(self.alone, memory.server)
