"""The batch that the inversions of concurrent requests share: it advances block by block, and rows join and leave.

The event loop keeps the books: before each block it drops the rows whose caller has gone and lets waiting ones join;
after it, it reports progress and hands out what has ended. The blocks run on the model's device thread. Where the books
themselves go wrong, all who are in them hear of it, and new ones are begun.

Urgent requests have blocks of their own: they wait for no full batch, and the others stay where they are on the device.
While others wait, every fourth block is theirs: whoever calls all of his requests urgent does not stop the rest.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from medxgan.server.engine.device_thread import DeviceThread, not_served
from medxgan.server.engine.port import Engine
from medxgan.server.engine.precedence import Precedence
from medxgan.server.inversion.block import Block
from medxgan.server.inversion.lane import Ended, Lane, OnRows
from medxgan.server.inversion.solver import Solver, Start
from medxgan.server.log import get_logger

_log = get_logger(__name__)

_PAUSE_SECONDS = 0.1
"""After the books of the batch went wrong: if they do so again at once, others than inversions are to be served."""


class InversionBatch:
    """Advances rows on one engine. Used from one event loop, between `start` and `stop`.

    Args:
        solver: takes the steps.
        engine: runs them.
        thread: makes the calls to the engine.
        maximum_rows: most rows that advance together, >= 1; others wait for their turn.
        quantum: gradient steps for which a row keeps its place while others wait, >= 1.

    Attributes:
        on_block: called on the event loop after every block, with the number of its rows.
    """

    def __init__(self, solver: Solver, engine: Engine, thread: DeviceThread, maximum_rows: int, quantum: int) -> None:
        self.solver = solver
        self._thread = thread
        self._new_lane = partial(Lane, solver, engine, maximum_rows, quantum)
        self._urgent, self._others = self._new_lane(), self._new_lane()
        self._precedence = Precedence()
        self._expected: set[object] = set()
        self._arrival = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self.on_block: Callable[[int], None] = lambda rows: None  # noqa: ARG005 - named as what it is called with

    def start(self) -> None:
        """Begin to take rows."""
        self._worker = asyncio.create_task(self._work(), name="inversion batch")

    async def stop(self) -> None:
        """Take no more rows, let the block that runs end, and tell those who still wait. May be called again."""
        if self._worker is None:
            return
        worker, self._worker = self._worker, None
        worker.cancel()
        await asyncio.wait([worker])
        self._tell_all(not_served())

    async def run(
        self, starts: Sequence[Start], caller: str, on_rows: OnRows | None = None, *, urgent: bool = False
    ) -> list[Ended]:
        """Advance the rows of one request until all have terminated. Cancelling the awaiting task drops them all.

        Args:
            starts: rows and their states, from `Solver.init`; at least one.
            caller: who asked: callers share the batch.
            on_rows: told of the rows after every block; after one that failed a row may be some steps back.
            urgent: whether its rows go before those that are not.

        Raises:
            BusyError: the batch is not running, or was stopped before the rows terminated.
        """
        if self._worker is None:
            raise not_served()
        lane = self._urgent if urgent else self._others
        flow, outcome = lane.join(starts, caller, on_rows)
        self._arrival.set()
        try:
            return await outcome
        finally:
            lane.leave(flow)

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """For the moments before an urgent request runs: no block of others begins."""
        request = object()
        self._expected.add(request)
        try:
            yield
        finally:
            self._expected.discard(request)
            self._arrival.set()

    async def _work(self) -> None:
        while True:
            try:
                await self._advance(await self._next_lane())
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody shall wait for ever
                _log.error("inversions_failed", error=type(error).__qualname__)
                self._tell_all(error)
                self._urgent, self._others = self._new_lane(), self._new_lane()
                await asyncio.sleep(_PAUSE_SECONDS)

    def _tell_all(self, error: Exception) -> None:
        for lane in (self._urgent, self._others):
            lane.stop(error)

    async def _advance(self, lane: Lane) -> None:
        block = self._thread.submit(lane.prepare(), urgent=lane is self._urgent)
        if lane is self._others:
            await self._urgent_meanwhile(block)
        await asyncio.wait([block])
        error = block.exception()
        if error is None:
            self.on_block(len(block.result().rows))
            lane.take(block.result())
        else:
            lane.part(error)
        # Who was just told gets a turn first: to cancel, or to queue a call before the next block.
        await asyncio.sleep(0)

    async def _urgent_meanwhile(self, block: "asyncio.Future[Block]") -> None:
        """Advance urgent rows while a block of others is on the thread, where it may wait for images to be opened."""
        while not block.done():
            self._urgent.settle()
            if self._urgent.is_busy:
                await self._advance(self._urgent)
                continue
            arrival = asyncio.ensure_future(self._next_arrival())
            either: list[asyncio.Future[Any]] = [block, arrival]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                arrival.cancel()

    async def _next_lane(self) -> Lane:
        """The lane whose block is next."""
        while True:
            self._urgent.settle()
            self._others.settle()
            urgent, others = self._urgent.is_busy or bool(self._expected), self._others.is_busy
            if not (urgent or others):
                await self._next_arrival()
            elif not self._precedence.is_urgent_next(urgent, others):
                return self._others
            else:
                # Who comes later prolongs nothing: this turn is for those that are expected now.
                expected = set(self._expected)
                while expected & self._expected and not self._urgent.is_busy:
                    await self._next_arrival()
                if self._urgent.is_busy:
                    return self._urgent

    async def _next_arrival(self) -> None:
        self._arrival.clear()
        await self._arrival.wait()
