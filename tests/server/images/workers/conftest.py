"""A pool of workers for a module's tests, and what the system says of its processes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.workers.pool import DecoderPool

LARGE = ImageLimits(maximum_side=16_384, maximum_pixels=50_000_000, maximum_decompressed_bytes=256 * 2**20)
WORKERS = 2
"""At work; a spare one stands by."""


@dataclass(frozen=True)
class Running:
    """A pool and the event loop that it is used from."""

    runner: asyncio.Runner
    pool: DecoderPool
    fork_server: int
    """The process that its workers are forked from; other tests may have started processes of their own."""


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with asyncio.Runner() as runner:
        before = set(children(os.getpid()))
        pool = DecoderPool(LARGE, workers=WORKERS, cpu_seconds=10, seconds=240)
        runner.run(pool.start())
        (fork_server,) = set(children(os.getpid())) - before
        yield Running(runner, pool, fork_server)
        runner.run(pool.stop())


def status(process: int) -> dict[str, str]:
    """What the system says of a process; nothing of one that is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def children(process: int) -> list[int]:
    """Processes that a process has started."""
    folders = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return [child for child in folders if status(child).get("PPid") == str(process)]


@pytest.fixture(scope="session")
def process_status():
    return status


@pytest.fixture(scope="session")
def child_processes():
    return children


async def resting_workers(running: Running) -> list[int]:
    """The workers, once those of earlier files are gone and those in their places wait for a file."""
    while True:
        workers, all_in = children(running.fork_server), running.pool._ready.qsize() == WORKERS + 1
        resting = [worker for worker in workers if status(worker).get("State", "gone")[0] == "S"]
        if all_in and len(workers) == len(resting) == WORKERS + 1:
            return workers
        await asyncio.sleep(0.01)


async def given_a_file(running: Running) -> None:
    """Wait until one of the resting workers has been given a file."""
    while running.pool._ready.qsize() > WORKERS:
        await asyncio.sleep(0.01)


@asynccontextmanager
async def held_workers(running: Running) -> AsyncIterator[list[int]]:
    """Workers that stand still, so that they are done with nothing."""
    workers = await resting_workers(running)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        yield workers
    finally:
        for worker in children(running.fork_server):
            with suppress(ProcessLookupError):  # one that was killed, which its parent has buried meanwhile
                os.kill(worker, signal.SIGCONT)
