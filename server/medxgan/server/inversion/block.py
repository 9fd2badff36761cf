"""A block of gradient steps with rows that change between blocks. Used on the device thread."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medxgan.server.engine.port import Engine, InversionState
from medxgan.server.inversion.runs import Runs
from medxgan.server.inversion.solver import Row, Solver
from medxgan.server.inversion.turns import Ticket


@dataclass(frozen=True)
class Change:
    """How the rows change between two blocks.

    Attributes:
        staying: places in the last block of those that stay.
        leaving: places in the last block of those that gave their places up.
        joining: states of those that join behind.
    """

    staying: Sequence[int]
    leaving: Mapping[Ticket, int]
    joining: Sequence[InversionState]


@dataclass(frozen=True)
class Block:
    """What one block brings.

    Attributes:
        rows: every row after it.
        terminated: places of those that terminated.
        states: of these, and of all where that was asked for, a batch of one each, by their places.
        left: the states of those that left before it, by their places in the block before.
        began: `time.perf_counter()` before it.
        ended: the same after it.
    """

    rows: list[Row]
    terminated: frozenset[int]
    states: dict[int, InversionState]
    left: dict[int, InversionState]
    began: float
    ended: float


class AdvancingRows:
    """The rows that advance together; they stay on the device between blocks.

    Args:
        solver: takes the steps.
        engine: runs them.
    """

    def __init__(self, solver: Solver, engine: Engine) -> None:
        self._solver = solver
        self._engine = engine
        self._runs: Runs | None = None
        self._size = 0

    def advance(self, change: Change, rows: list[Row], *, bring_back: bool = False) -> Block:
        """Regroup if rows left or joined, then take a block.

        Args:
            change: since the last block.
            rows: all that take part.
            bring_back: whether the states of all of them are wanted on the host.
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
        terminated = frozenset(place for place, row in enumerate(rows) if self._solver.terminate(row))
        states = self._runs.states(range(len(rows)) if bring_back else terminated)
        return Block(rows, terminated, states, left, began, ended)
