"""A batch of a hand-made problem that is watched at work."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np

from medxgan.server.engine.device_thread import DeviceThread
from medxgan.server.inversion.batch import InversionBatch
from medxgan.server.inversion.lane import Ended
from medxgan.server.inversion.solver import Row, Solver, Start

CODES = [(0.5, -1.0, 0.25, 2.0, 0.1 * i, 0.3) for i in range(8)]


def started(engine, index: int, steps: int = 30, seed: int | None = None) -> Start:
    """A row with the image of that number, from a code drawn by the seed."""
    z = np.random.default_rng(index if seed is None else seed).standard_normal((1, 6), np.float32)
    rates = np.full((1, 6), 0.05, np.float32)
    return Solver(engine.bundle.inversion).init(Row(steps, 4.0), z, engine.image(*CODES[index]), 0.6, rates)


class Bench:
    """A batch on the engine, and short ways to use it."""

    def __init__(self, engine, maximum_rows: int) -> None:
        self.engine = engine
        self.thread = DeviceThread()
        self.batch = InversionBatch(Solver(engine.bundle.inversion), engine, self.thread, maximum_rows, quantum=1000)

    async def invert(self, index: int, steps: int = 30, on_rows=None, *, urgent: bool = False) -> Ended:
        (ended,) = await self.batch.run([started(self.engine, index, steps)], "caller", on_rows, urgent=urgent)
        return ended

    async def blocks(self) -> list[tuple[int, int]]:
        """The blocks taken so far, after whatever runs."""
        return await self.thread.call(lambda: list(self.engine.blocks))

    async def at_gate(self) -> None:
        """Wait until the engine is about to take a block, with the gate shut."""
        await asyncio.to_thread(self.engine.at_gate.wait)


def serve(engine, maximum_rows: int, scenario: Callable[[Bench], Awaitable[None]]) -> None:
    """Play a scenario on a bench."""

    async def run() -> None:
        bench = Bench(engine, maximum_rows)
        bench.thread.start()
        bench.batch.start()
        try:
            await asyncio.wait_for(scenario(bench), timeout=30)
        finally:
            engine.gate.set()
            await bench.batch.stop()
            await bench.thread.stop()

    asyncio.run(run())


def alone(engine, index: int, steps: int = 30) -> np.ndarray:
    """The code that a row ends with that has the engine to itself."""
    solver = Solver(engine.bundle.inversion)
    row, state = started(engine, index, steps)
    run = engine.start(state)
    while not solver.terminate(row):
        (row,) = solver.step([row], run)
    return run.state().z


def starts(bench: Bench, index: int, count: int, steps: int = 30) -> list[Start]:
    """Several rows of one request."""
    return [started(bench.engine, index, steps, index + seed) for seed in range(count)]
