"""Requests of one urgency, and those of their rows that advance together. Used on the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from medxgan.server.engine.port import Engine, InversionState
from medxgan.server.inversion.block import AdvancingRows, Block, Change
from medxgan.server.inversion.solver import Row, Solver, Start
from medxgan.server.inversion.turns import Flow, Ticket, Turns

OnRows = Callable[[Sequence[Row]], None]
"""Called on the event loop with all the rows of a request, in order, after a block that any of them took part in."""


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


Outcome = asyncio.Future[list[Ended]]
"""What a request waits for: how its rows ended, in order."""


class Lane:
    """Keeps the books of its requests: which of their rows advance, which wait, and who is told what.

    Args:
        solver: takes the steps.
        engine: runs them.
        maximum_rows: most rows that advance together, >= 1.
        quantum: gradient steps for which a row keeps its place while others wait, >= 1.
    """

    def __init__(self, solver: Solver, engine: Engine, maximum_rows: int, quantum: int) -> None:
        self._on_device = partial(AdvancingRows, solver, engine)
        self._rows = self._on_device()
        self._maximum_rows = maximum_rows
        self._turns = Turns(quantum)
        self._requests: dict[Flow, _Request] = {}
        self._advancing: list[Ticket] = []
        self._change = Change([], {}, [])
        self._apart: deque[_Apart] = deque()

    def join(self, starts: Sequence[Start], caller: str, on_rows: OnRows | None) -> tuple[Flow, Outcome]:
        """Take in the rows of a request, which wait for their turn.

        Returns:
            What it leaves by, and what its caller waits for.
        """
        flow = Flow(caller)
        flow.waiting.extend(Ticket(flow, index, state) for index, (_, state) in enumerate(starts))
        rows = [row for row, _ in starts]
        request = _Request(rows, list(rows), on_rows, asyncio.get_running_loop().create_future())
        self._requests[flow] = request
        self._turns.join(flow)
        return flow, request.done

    def leave(self, flow: Flow) -> None:
        """Drop a request: all its rows are done, or nobody waits for it any more."""
        self._turns.leave(flow)
        del self._requests[flow]

    def settle(self) -> None:
        """Drop the rows that are done and those whose caller has gone, which leaves by itself a moment later."""
        for flow, request in self._requests.items():
            if request.done.done():
                self._turns.leave(flow)
        while self._apart and not self._goes_on(self._apart[0].ticket):
            self._apart.popleft()
        if not self.is_busy:
            self._advancing, self._rows = [], self._on_device()

    @property
    def is_busy(self) -> bool:
        """Whether there are rows to advance."""
        return bool(self._apart) or self._turns.has_waiting or any(map(self._goes_on, self._advancing))

    def prepare(self) -> Callable[[], Block]:
        """Let rows leave and join, and make the next block, which is to be run on the device thread."""
        if self._apart:
            return self._prepare_apart(self._apart[0].ticket)
        places = {ticket: place for place, ticket in enumerate(self._advancing) if self._goes_on(ticket)}
        regrouping = self._turns.regroup(places, self._maximum_rows)
        self._advancing = regrouping.advancing
        self._change = Change(
            [places[ticket] for ticket in regrouping.staying],
            {ticket: places[ticket] for ticket in regrouping.leaving},
            [ticket.state for ticket in regrouping.joining],
        )
        advancing = [self._requests[ticket.flow].rows[ticket.index] for ticket in self._advancing]
        return partial(self._rows.advance, self._change, advancing)

    def take(self, block: Block) -> None:
        """Tell the callers what a block brought, and let the rows wait that gave their places up for it."""
        self._hand_out(block)
        if self._apart:
            self._take_apart(block.states[0])
        for ticket, place in self._change.leaving.items():
            if self._is_awaited(ticket):
                self._hand_back(ticket, block.left[place])

    def part(self, error: BaseException) -> None:
        """A block has failed: one of its rows may have been too much for the engine, and the others are not to pay.

        Each goes on by itself, from where it last was on the host, until it is beyond that block or fails alone.
        """
        awaited = [ticket for ticket in (*self._advancing, *self._change.leaving) if self._is_awaited(ticket)]
        self._advancing, self._rows, self._change = [], self._on_device(), Change([], {}, [])
        if len(awaited) == 1:
            _fail([self._requests[awaited[0].flow]], error)
            return
        for ticket in awaited:
            request = self._requests[ticket.flow]
            self._apart.append(_Apart(ticket, request.rows[ticket.index].steps_taken))
            request.rows[ticket.index] = request.on_host[ticket.index]

    def stop(self, error: BaseException) -> None:
        """Tell all who still wait."""
        _fail(self._requests.values(), error)

    def _prepare_apart(self, ticket: Ticket) -> Callable[[], Block]:
        self._advancing, self._rows, self._change = [ticket], self._on_device(), Change([], {}, [ticket.state])
        row = self._requests[ticket.flow].rows[ticket.index]
        return partial(self._rows.advance, self._change, [row], bring_back=True)

    def _take_apart(self, state: InversionState) -> None:
        self._advancing, self._rows = [], self._on_device()
        ticket, reached = self._apart[0].ticket, self._apart[0].reached
        if not self._goes_on(ticket):
            self._apart.popleft()
            return
        request = self._requests[ticket.flow]
        if request.rows[ticket.index].steps_taken > reached:
            self._apart.popleft()
            self._hand_back(ticket, state)
        else:
            request.on_host[ticket.index], ticket.state = request.rows[ticket.index], state

    def _hand_back(self, ticket: Ticket, state: InversionState) -> None:
        request = self._requests[ticket.flow]
        request.on_host[ticket.index] = request.rows[ticket.index]
        self._turns.hand_back(ticket, state)

    def _goes_on(self, ticket: Ticket) -> bool:
        return self._is_awaited(ticket) and ticket.index not in self._requests[ticket.flow].ended

    def _is_awaited(self, ticket: Ticket) -> bool:
        request = self._requests.get(ticket.flow)
        return request is not None and not request.done.done()

    def _hand_out(self, block: Block) -> None:
        advanced: dict[Flow, _Request] = {}
        for place, (ticket, row) in enumerate(zip(self._advancing, block.rows, strict=True)):
            request = self._requests.get(ticket.flow)
            if request is None:
                continue
            self._turns.count(ticket, row.steps_taken - request.rows[ticket.index].steps_taken)
            request.rows[ticket.index] = row
            request.began.setdefault(ticket.index, block.began)
            if place in block.terminated:
                state, began = block.states[place], request.began[ticket.index]
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
    done: Outcome
    began: dict[int, float] = field(default_factory=dict)
    ended: dict[int, Ended] = field(default_factory=dict)


@dataclass(frozen=True)
class _Apart:
    """A row of a block that failed, and how many steps it had before that block."""

    ticket: Ticket
    reached: int


def _fail(requests: "Iterable[_Request]", error: BaseException) -> None:
    for request in requests:
        if not request.done.done():
            request.done.set_exception(error)
