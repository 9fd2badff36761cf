"""Rows of any solver that advance together: those of one solver in one batch on the device."""

from collections.abc import Collection, Sequence

import numpy as np

from medxgan.server.engine.port import Engine, InversionRun, InversionState, Losses
from medxgan.server.inversion.lbfgs import LbfgsRun, LbfgsState
from medxgan.server.inversion.solver import concatenate, select


class Runs:
    """The rows of a batch, in order, each by its own solver.

    Args:
        engine: runs the gradient steps.
        states: of the rows, a batch of one each; the type says which solver.
    """

    def __init__(self, engine: Engine, states: Sequence[InversionState]) -> None:
        self._rows = len(states)
        kinds = [type(state) for state in states]
        self._parts = [
            ([row for row, own in enumerate(kinds) if own is kind], _started(engine, kind, states))
            for kind in dict.fromkeys(kinds)
        ]

    def advance(self, steps: int) -> Losses:
        """Take `steps` (>= 1) gradient steps with every row."""
        reconstruction, classification = np.empty(self._rows, np.float32), np.empty(self._rows, np.float32)
        for rows, run in self._parts:
            losses = run.advance(steps)
            reconstruction[rows], classification[rows] = losses.reconstruction, losses.classification
        return Losses(reconstruction, classification)

    def states(self, wanted: Collection[int]) -> dict[int, InversionState]:
        """Bring these rows back to the host, a batch of one each."""
        found: dict[int, InversionState] = {}
        for rows, run in self._parts:
            own = [(place, row) for place, row in enumerate(rows) if row in wanted]
            if own:
                state = run.state()
                found |= {row: select(state, [place]) for place, row in own}
        return found


def _started(engine: Engine, kind: type[InversionState], states: Sequence[InversionState]) -> InversionRun | LbfgsRun:
    together: InversionState = concatenate([state for state in states if type(state) is kind])
    return LbfgsRun(engine, together) if isinstance(together, LbfgsState) else engine.start(together)
