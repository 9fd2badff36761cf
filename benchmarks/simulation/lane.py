"""Requests of one urgency and the rows of them that advance together, as `server/.../inversion/lane.py` has it."""

from dataclasses import dataclass
from typing import cast

from simpy import Environment, Event

from medxgan.server.engine.port import InversionState
from medxgan.server.inversion.turns import Flow, Ticket, Turns

_NOT_COMPUTED = cast("InversionState", None)


@dataclass(eq=False)
class _Row:
    """How far a row is: steps that it takes, those that it has taken, and what happens when it is done."""

    steps: int
    done: Event
    taken: int = 0


class Lane:
    """Whose turn it is decides the server's own `Turns`; a row is a counter of steps, and nothing is computed.

    Args:
        environment: the simulation's clock.
        maximum_rows: most rows that advance together, >= 1.
        quantum: steps for which a row keeps its place while others wait, >= 1.
        check_interval: steps between two checks of the tolerance.
        longest_block: most steps of a block.
    """

    def __init__(
        self, environment: Environment, maximum_rows: int, quantum: int, check_interval: int, longest_block: int
    ) -> None:
        self._environment = environment
        self._maximum_rows = maximum_rows
        self._check_interval = check_interval
        self._longest_block = longest_block
        self._turns = Turns(quantum)
        self._rows: dict[Ticket, _Row] = {}
        self._advancing: list[Ticket] = []
        self._leaving: list[Ticket] = []
        self._steps = 0

    @property
    def is_busy(self) -> bool:
        """Whether there are rows to advance."""
        return bool(self._rows)

    def join(self, caller: str, steps: int) -> Event:
        """Take in a request of one row; what happens when the row has taken its steps."""
        flow = Flow(caller)
        ticket = Ticket(flow, 0, _NOT_COMPUTED)
        flow.waiting.append(ticket)
        self._rows[ticket] = _Row(steps, self._environment.event())
        self._turns.join(flow)
        return self._rows[ticket].done

    def prepare(self) -> tuple[int, int]:
        """Let rows leave and join; the rows and steps of the next block."""
        regrouping = self._turns.regroup(self._advancing, self._maximum_rows)
        self._advancing, self._leaving = regrouping.advancing, regrouping.leaving
        self._steps = min(self._longest_block, *(self._until_stop(self._rows[ticket]) for ticket in self._advancing))
        return len(self._advancing), self._steps

    def take(self) -> None:
        """The block has ended: count its steps, and tell those whose rows are done."""
        going_on = []
        for ticket in self._advancing:
            row = self._rows[ticket]
            row.taken += self._steps
            self._turns.count(ticket, self._steps)
            if row.taken < row.steps:
                going_on.append(ticket)
                continue
            del self._rows[ticket]
            self._turns.leave(ticket.flow)
            row.done.succeed()
        self._advancing = going_on
        for ticket in self._leaving:
            self._turns.hand_back(ticket, _NOT_COMPUTED)

    def _until_stop(self, row: _Row) -> int:
        return min(row.steps - row.taken, self._check_interval - row.taken % self._check_interval)
