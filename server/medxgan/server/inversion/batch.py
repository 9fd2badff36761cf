"""Shares one engine among concurrent requests: their inversions advance as one batch, block by block.

One thread makes every call to the engine. The event loop keeps the books: before each block it drops the rows whose
caller has gone and lets waiting ones join; after it, it reports progress and hands out what has ended. Stateless graph
calls queue for the same thread and so run between blocks.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from medxgan.server.engine.port import InversionRun, InversionState
from medxgan.server.errors import BusyError
from medxgan.server.inversion import Inversion, InversionRow, Progress, concatenate, select

Result = TypeVar("Result")
OnProgress = Callable[[Progress], None]
OnRows = Callable[[Sequence[InversionRow]], None]

RESTART_DELAY = 5.0
"""Seconds after which a caller that meets a server on its way down may try again."""


@dataclass(frozen=True)
class InvertedRow:
    """A row that terminated.

    Attributes:
        row: how it ended.
        state: its state, a batch of one.
        began: `time.perf_counter()` before its first gradient step.
        ended: the same after its last.
    """

    row: InversionRow
    state: InversionState
    began: float
    ended: float


class InversionScheduler:
    """Runs inversions and stateless calls on one engine. Used from one event loop, between `start` and `stop`.

    Args:
        inversion: the solver, which holds the engine.
        maximum_batch: most rows that advance together, >= 1; later ones wait for their turn.
    """

    def __init__(self, inversion: Inversion, maximum_batch: int) -> None:
        self._inversion = inversion
        self._maximum_batch = maximum_batch
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._waiting: deque[_Request] = deque()
        self._advancing: list[_Ticket] = []
        self._arrival = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to take work."""
        self._worker = asyncio.create_task(self._work(), name="inversion scheduler")

    async def stop(self) -> None:
        """Take no more work, let the block that runs end, and tell those who still wait. May be called again."""
        if self._worker is None:
            return
        worker, self._worker = self._worker, None
        worker.cancel()
        await asyncio.wait([worker])
        _fail([*(ticket.request for ticket in self._advancing), *self._waiting], _stopped())
        await asyncio.to_thread(self._thread.shutdown)

    async def call(self, function: Callable[[], Result]) -> Result:
        """Call a function on the engine's thread, between two blocks.

        Raises:
            BusyError: the scheduler is not running.
        """
        self._check_running()
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def invert(
        self, row: InversionRow, state: InversionState, on_progress: OnProgress | None = None
    ) -> InvertedRow:
        """Advance a row until it terminates. Cancelling the awaiting task drops the row before the next block.

        Args:
            row: from `Inversion.init`.
            state: from `Inversion.init`, a batch of one.
            on_progress: called on the event loop after every block that the row took part in.

        Raises:
            BusyError: the scheduler is not running, or was stopped before the row terminated.
        """
        on_rows: OnRows | None = None if on_progress is None else lambda rows: on_progress(rows[0].progress)
        (inverted,) = await self.invert_all([(row, state)], on_rows)
        return inverted

    async def invert_all(
        self, starts: Sequence[tuple[InversionRow, InversionState]], on_rows: OnRows | None = None
    ) -> list[InvertedRow]:
        """Advance the rows of one request until all have terminated. Cancelling the awaiting task drops them all.

        While places are scarce, requests that wait take turns: a request gets one row in, then the next request.

        Args:
            starts: rows and their states, from `Inversion.init`; at least one.
            on_rows: called on the event loop with all the rows, in order, after every block that any took part in.

        Raises:
            BusyError: the scheduler is not running, or was stopped before the rows terminated.
        """
        self._check_running()
        request = _Request([row for row, _ in starts], on_rows, asyncio.get_running_loop().create_future())
        request.waiting.extend(_Ticket(request, index, state) for index, (_, state) in enumerate(starts))
        self._waiting.append(request)
        self._arrival.set()
        return await request.done

    def _check_running(self) -> None:
        if self._worker is None:
            raise _stopped()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        batch = _Batch(self._inversion)
        while True:
            staying = [index for index, ticket in enumerate(self._advancing) if ticket.goes_on]
            joining = self._admit(self._maximum_batch - len(staying))
            self._advancing = [*(self._advancing[index] for index in staying), *joining]
            if not self._advancing:
                batch = _Batch(self._inversion)
                self._arrival.clear()
                await self._arrival.wait()
                continue
            rows = [ticket.request.rows[ticket.index] for ticket in self._advancing]
            block = loop.run_in_executor(
                self._thread, batch.advance, staying, [ticket.start for ticket in joining], rows
            )
            await asyncio.wait([block])
            error = block.exception()
            if error is None:
                self._hand_out(block.result())
            else:
                # Whatever went wrong in the engine is the business of these callers; the next batch starts afresh.
                _fail((ticket.request for ticket in self._advancing), error)
                self._advancing, batch = [], _Batch(self._inversion)
            # Who was just told gets a turn first: to cancel, or to queue a call before the next block.
            await asyncio.sleep(0)

    def _admit(self, places: int) -> "list[_Ticket]":
        admitted: list[_Ticket] = []
        while self._waiting and len(admitted) < places:
            request = self._waiting.popleft()
            if request.done.done():
                continue
            admitted.append(request.waiting.popleft())
            if request.waiting:
                self._waiting.append(request)
        return admitted

    def _hand_out(self, block: "_Block") -> None:
        for index, (ticket, row) in enumerate(zip(self._advancing, block.rows, strict=True)):
            request = ticket.request
            request.rows[ticket.index] = row
            if ticket.began is None:
                ticket.began = block.began
            if index in block.terminated:
                request.inverted[ticket.index] = InvertedRow(row, block.terminated[index], ticket.began, block.ended)
        for request in dict.fromkeys(ticket.request for ticket in self._advancing):
            if request.done.done():
                continue
            if request.on_rows is not None:
                # Through the loop: a callback that raises must not end the scheduler.
                asyncio.get_running_loop().call_soon(request.on_rows, tuple(request.rows))
            if len(request.inverted) == len(request.rows):
                request.done.set_result([request.inverted[index] for index in range(len(request.rows))])


@dataclass(eq=False)
class _Request:
    """The rows of one request, how far each is, and who waits for all of them."""

    rows: list[InversionRow]
    on_rows: OnRows | None
    done: asyncio.Future[list[InvertedRow]]
    waiting: "deque[_Ticket]" = field(default_factory=deque)
    inverted: dict[int, InvertedRow] = field(default_factory=dict)


@dataclass(eq=False)
class _Ticket:
    """A row's place in its request. `start` is its state before it joins; from then on the batch holds it."""

    request: _Request
    index: int
    start: InversionState
    began: float | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it takes another block: it has not terminated, and someone still waits for it."""
        return self.index not in self.request.inverted and not self.request.done.done()


@dataclass(frozen=True)
class _Block:
    """What one block brings: every row after it, the states of those that terminated, and its times."""

    rows: list[InversionRow]
    terminated: dict[int, InversionState]
    began: float
    ended: float


class _Batch:
    """The rows that advance together. Used on the engine's thread, where it stays on the device between blocks."""

    def __init__(self, inversion: Inversion) -> None:
        self._inversion = inversion
        self._run: InversionRun | None = None
        self._size = 0

    def advance(self, staying: Sequence[int], joining: Sequence[InversionState], rows: list[InversionRow]) -> _Block:
        """Regroup if rows left or joined, then take a block.

        Args:
            staying: indices of the last block's rows that go on.
            joining: states of the rows that join behind them, a batch of one each.
            rows: all of them, in that order.
        """
        began = time.perf_counter()
        if self._run is None or joining or len(staying) < self._size:
            kept = [select(self._run.state(), staying)] if self._run is not None else []
            self._run, self._size = self._inversion.engine.start(concatenate([*kept, *joining])), len(rows)
        rows = self._inversion.step(rows, self._run)
        ended = time.perf_counter()
        indices = [index for index, row in enumerate(rows) if self._inversion.terminate(row)]
        state = self._run.state() if indices else None
        terminated = {index: select(state, [index]) for index in indices} if state is not None else {}
        return _Block(rows, terminated, began, ended)


def _fail(requests: "Iterable[_Request]", error: BaseException) -> None:
    for request in requests:
        if not request.done.done():
            request.done.set_exception(error)


def _stopped() -> BusyError:
    return BusyError("the model is not being served", RESTART_DELAY)
