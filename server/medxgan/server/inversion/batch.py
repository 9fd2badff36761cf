"""The batch that the inversions of concurrent requests share: it advances block by block, and rows join and leave.

The event loop keeps the books: before each block it drops the rows whose caller has gone and lets waiting ones join;
after it, it reports progress and hands out what has ended. The blocks run on the model's device thread.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from medxgan.server.engine.device_thread import DeviceThread, not_served
from medxgan.server.engine.port import Engine, InversionState
from medxgan.server.inversion.runs import Runs
from medxgan.server.inversion.solver import Row, Solver, Start
from medxgan.server.inversion.turns import Flow, Ticket, Turns

OnRows = Callable[[Sequence[Row]], None]


@dataclass(frozen=True)
class Ended:
    """A row that terminated.

    Attributes:
        row: how it ended.
        state: its state, a batch of one.
        began: `time.perf_counter()` before its first gradient step.
        ended: the same after its last.
    """

    row: Row
    state: InversionState
    began: float
    ended: float


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
        self._engine = engine
        self._thread = thread
        self._maximum_rows = maximum_rows
        self._turns = Turns(quantum)
        self._requests: dict[Flow, _Request] = {}
        self._advancing: list[Ticket] = []
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
        _fail(self._requests.values(), not_served())

    async def run(
        self, starts: Sequence[Start], caller: str, on_rows: OnRows | None = None, *, urgent: bool = False
    ) -> list[Ended]:
        """Advance the rows of one request until all have terminated. Cancelling the awaiting task drops them all.

        Args:
            starts: rows and their states, from `Solver.init`; at least one.
            caller: who asked: callers share the batch.
            on_rows: called on the event loop with all the rows, in order, after every block that any took part in.
                After a block that failed in the engine a row may be some steps back.
            urgent: whether its rows go before those that are not.

        Raises:
            BusyError: the batch is not running, or was stopped before the rows terminated.
        """
        if self._worker is None:
            raise not_served()
        flow = Flow(caller, urgent=urgent)
        flow.waiting.extend(Ticket(flow, index, state) for index, (_, state) in enumerate(starts))
        rows = [row for row, _ in starts]
        request = _Request(rows, list(rows), on_rows, asyncio.get_running_loop().create_future())
        self._requests[flow] = request
        self._turns.join(flow)
        self._arrival.set()
        try:
            return await request.done
        finally:
            self._turns.leave(flow)
            del self._requests[flow]

    async def _work(self) -> None:
        rows = _Rows(self.solver, self._engine)
        while True:
            change = self._regroup()
            if not self._advancing:
                rows = _Rows(self.solver, self._engine)
                self._arrival.clear()
                await self._arrival.wait()
                continue
            advancing = [self._requests[ticket.flow].rows[ticket.index] for ticket in self._advancing]
            block = self._thread.submit(partial(rows.advance, change, advancing))
            await asyncio.wait([block])
            error = block.exception()
            if error is None:
                self.on_block(len(advancing))
                self._hand_out(block.result())
                self._hand_back(change.leaving, block.result().left)
            else:
                await self._apart([*self._advancing, *change.leaving], error)
                self._advancing, rows = [], _Rows(self.solver, self._engine)
            # Who was just told gets a turn first: to cancel, or to queue a call before the next block.
            await asyncio.sleep(0)

    async def _apart(self, tickets: Sequence[Ticket], error: BaseException) -> None:
        """A block has failed: one of its rows may have been too much for the engine, and the others are not to pay.

        Each goes on by itself, from where it last was on the host, until it is beyond that block or fails alone.
        """
        awaited = [ticket for ticket in tickets if self._is_awaited(ticket)]
        if len(awaited) == 1:
            _fail([self._requests[awaited[0].flow]], error)
            return
        for ticket in awaited:
            if self._is_awaited(ticket):
                await self._alone(ticket, self._requests[ticket.flow])

    async def _alone(self, ticket: Ticket, request: "_Request") -> None:
        rows, change = _Rows(self.solver, self._engine), _Change([], {}, [ticket.state])
        reached = request.rows[ticket.index].steps_taken
        request.rows[ticket.index] = request.on_host[ticket.index]
        self._advancing = [ticket]
        while request.rows[ticket.index].steps_taken <= reached:
            block = self._thread.submit(partial(rows.advance, change, [request.rows[ticket.index]]))
            await asyncio.wait([block])
            error = block.exception()
            if error is not None:
                _fail([request], error)
                return
            self.on_block(1)
            self._hand_out(block.result())
            if not self._is_awaited(ticket) or ticket.index in request.ended:
                return
            change = _Change([0], {}, [])
        back = self._thread.submit(partial(rows.states, [0]))
        await asyncio.wait([back])
        error = back.exception()
        if error is not None:
            _fail([request], error)
            return
        self._hand_back({ticket: 0}, back.result())

    def _regroup(self) -> "_Change":
        """Let rows leave and join before the next block."""
        for flow, request in self._requests.items():
            # Whose caller has just gone leaves by itself a moment later: too late for nobody to give way to it.
            if request.done.done():
                self._turns.leave(flow)
        staying = {
            ticket: place
            for place, ticket in enumerate(self._advancing)
            if self._is_awaited(ticket) and ticket.index not in self._requests[ticket.flow].ended
        }
        leaving: dict[Ticket, int] = {}
        joining: list[Ticket] = []
        while True:
            if len(staying) + len(joining) == self._maximum_rows:
                gives_way = self._turns.gives_way(staying)
                if gives_way is None:
                    break
                leaving[gives_way] = staying.pop(gives_way)
            ticket = self._turns.next()
            if ticket is None:
                break
            joining.append(ticket)
        self._advancing = [*staying, *joining]
        return _Change(list(staying.values()), leaving, [ticket.state for ticket in joining])

    def _hand_back(self, leaving: Mapping[Ticket, int], left: Mapping[int, InversionState]) -> None:
        """Let rows wait that gave their places up."""
        for ticket, place in leaving.items():
            if self._is_awaited(ticket):
                request = self._requests[ticket.flow]
                request.on_host[ticket.index] = request.rows[ticket.index]
                self._turns.hand_back(ticket, left[place])

    def _is_awaited(self, ticket: Ticket) -> bool:
        request = self._requests.get(ticket.flow)
        return request is not None and not request.done.done()

    def _hand_out(self, block: "_Block") -> None:
        advanced: dict[Flow, _Request] = {}
        for place, (ticket, row) in enumerate(zip(self._advancing, block.rows, strict=True)):
            request = self._requests.get(ticket.flow)
            if request is None:
                continue
            self._turns.count(ticket, row.steps_taken - request.rows[ticket.index].steps_taken)
            request.rows[ticket.index] = row
            request.began.setdefault(ticket.index, block.began)
            if place in block.terminated:
                state, began = block.terminated[place], request.began[ticket.index]
                request.ended[ticket.index] = Ended(row, state, began, block.ended)
            advanced[ticket.flow] = request
        for request in advanced.values():
            if request.done.done():
                continue
            if request.on_rows is not None:
                # Through the loop: a callback that raises must not end the batch.
                asyncio.get_running_loop().call_soon(request.on_rows, tuple(request.rows))
            if len(request.ended) == len(request.rows):
                request.done.set_result([request.ended[index] for index in range(len(request.rows))])


@dataclass(eq=False)
class _Request:
    """The rows of one request, how far each is and was when its state last was on the host, and who waits for all."""

    rows: list[Row]
    on_host: list[Row]
    on_rows: OnRows | None
    done: asyncio.Future[list[Ended]]
    began: dict[int, float] = field(default_factory=dict)
    ended: dict[int, Ended] = field(default_factory=dict)


@dataclass(frozen=True)
class _Change:
    """How the rows change between two blocks: places in the last block, and states of those that join behind."""

    staying: list[int]
    leaving: dict[Ticket, int]
    joining: list[InversionState]


@dataclass(frozen=True)
class _Block:
    """What one block brings.

    Attributes:
        rows: every row after it.
        terminated: the states of those that terminated, a batch of one each, by their places.
        left: the states of those that left before it, by their places in the block before.
        began: `time.perf_counter()` before it.
        ended: the same after it.
    """

    rows: list[Row]
    terminated: dict[int, InversionState]
    left: dict[int, InversionState]
    began: float
    ended: float


class _Rows:
    """The rows that advance together. Used on the device thread; they stay on the device between blocks."""

    def __init__(self, solver: Solver, engine: Engine) -> None:
        self._solver = solver
        self._engine = engine
        self._runs: Runs | None = None
        self._size = 0

    def advance(self, change: _Change, rows: list[Row]) -> _Block:
        """Regroup if rows left or joined, then take a block.

        Args:
            change: since the last block.
            rows: all that take part.
        """
        began = time.perf_counter()
        left: dict[int, InversionState] = {}
        if self._runs is None or change.joining or len(change.staying) < self._size:
            kept: list[InversionState] = []
            if self._runs is not None and (change.staying or change.leaving):
                states = self._runs.states({*change.staying, *change.leaving.values()})
                left = {place: states[place] for place in change.leaving.values()}
                kept = [states[place] for place in change.staying]
            self._runs, self._size = Runs(self._engine, [*kept, *change.joining]), len(rows)
        rows = self._solver.step(rows, self._runs)
        ended = time.perf_counter()
        indices = [index for index, row in enumerate(rows) if self._solver.terminate(row)]
        return _Block(rows, self._runs.states(indices), left, began, ended)

    def states(self, places: Sequence[int]) -> dict[int, InversionState]:
        """The states of these rows, a batch of one each."""
        return {} if self._runs is None else self._runs.states(places)


def _fail(requests: "Iterable[_Request]", error: BaseException) -> None:
    for request in requests:
        if not request.done.done():
            request.done.set_exception(error)
