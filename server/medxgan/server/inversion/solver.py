"""The solver: gradient descent on the latent code of a picture, by Adam or by L-BFGS.

    argmin over z1, z2 of   λ · MSE(G(z1, z2), image) + BCE(C(G(z1, z2)), target)

The inversion has the image to explain as image and C(x) as target. The search for a positive realization has the
negative realization as image, 1 as target, and holds z1 still.

Explicit state, and verbs that pass it: `init` sets a row up, `step` takes a block of gradient steps with a batch of
rows, `terminate` says whether a row is done. What is true of a row depends on that row alone, never on the rows that
share its batch. Not converging is a value, not an error.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol, TypeVar

import numpy as np

from medxgan.server.engine.port import FloatArray, InversionState, Losses
from medxgan.server.inversion.lbfgs import LbfgsState
from medxgan.v1 import bundle_pb2

State = TypeVar("State", bound=InversionState)


class Advances(Protocol):
    """Rows that take steps together: an `InversionRun`, or several."""

    def advance(self, steps: int) -> Losses:
        """Take `steps` (>= 1) gradient steps with every row."""
        ...


@dataclass(frozen=True)
class Row:
    """How far one row of the batch is.

    Attributes:
        steps: most gradient steps to take, >= 1.
        reconstruction_weight: λ.
        sought: probability of the class term's target at which the row is done, checked with the tolerance; None where
            it is done by its loss alone.
        steps_taken: gradient steps so far.
        reconstruction_mse: mean squared error before the last step; NaN before the first.
        classification_loss: cross-entropy in nats before the last step; NaN before the first.
        checked_loss: the total loss at the last check of the tolerance; None before the first check.
        converged: whether the loss had settled within the tolerance at that check, or what was sought was reached.
    """

    steps: int
    reconstruction_weight: float
    sought: float | None = None
    steps_taken: int = 0
    reconstruction_mse: float = math.nan
    classification_loss: float = math.nan
    checked_loss: float | None = None
    converged: bool = False

    @property
    def loss(self) -> float:
        """The total loss before the last step; NaN before the first."""
        return self.reconstruction_weight * self.reconstruction_mse + self.classification_loss


Start = tuple[Row, InversionState]
"""A row before its first step, and its state, a batch of one."""


@dataclass(frozen=True)
class Solver:
    """The solver with one bundle's settings. It never changes: rows and state are passed.

    Attributes:
        specification: of the bundle.
        longest_block: most gradient steps of a block, beside what the rows' checks allow; None for no such bound.
    """

    specification: bundle_pb2.InversionSpecification
    longest_block: int | None = None

    def init(
        self,
        row: Row,
        z: FloatArray,
        image: FloatArray,
        target: float,
        learning_rate: FloatArray,
        by: bundle_pb2.Solver = bundle_pb2.SOLVER_ADAM,
    ) -> Start:
        """Set a row up.

        Args:
            row: what is asked of it.
            z: [1, D], where it starts.
            image: [1, 1, S, S] in [-1, 1], the picture to match.
            target: the probability to match.
            learning_rate: [1, D], how far the first step moves each latent; 0 holds it still.
            by: which solver.
        """
        state = InversionState(
            z=z.astype(np.float32),
            first_moment=np.zeros_like(z, np.float32),
            second_moment=np.zeros_like(z, np.float32),
            step=np.zeros(1, np.float32),
            image=image,
            target=np.full(1, target, np.float32),
            learning_rate=learning_rate.astype(np.float32),
            reconstruction_weight=np.full(1, row.reconstruction_weight, np.float32),
        )
        return row, LbfgsState.of(state) if by == bundle_pb2.SOLVER_LBFGS else state

    def step(self, rows: Sequence[Row], run: Advances) -> list[Row]:
        """Take one block of gradient steps with every row of a run.

        The block ends where the first row ends or is due for its check, so that no row's result depends on the others.
        """
        steps = min(min(row.steps - row.steps_taken, self._steps_to_check(row)) for row in rows)
        steps = min(steps, self.longest_block or steps)
        losses = run.advance(steps)
        return [
            self._advanced(row, steps, float(reconstruction), float(classification))
            for row, reconstruction, classification in zip(
                rows, losses.reconstruction, losses.classification, strict=True
            )
        ]

    def terminate(self, row: Row) -> bool:
        """Whether the row has converged or used up its steps."""
        return row.converged or row.steps_taken >= row.steps

    def _steps_to_check(self, row: Row) -> int:
        interval = self.specification.check_interval
        return interval - row.steps_taken % interval

    def _advanced(self, row: Row, steps: int, reconstruction: float, classification: float) -> Row:
        due = steps == self._steps_to_check(row)
        row = replace(
            row,
            steps_taken=row.steps_taken + steps,
            reconstruction_mse=reconstruction,
            classification_loss=classification,
        )
        return self._checked(row) if due else row

    def _checked(self, row: Row) -> Row:
        if row.sought is not None:
            # With 1 as target the cross-entropy is -log of the probability: no pass of its own is needed.
            return replace(row, checked_loss=row.loss, converged=math.exp(-row.classification_loss) >= row.sought)
        tolerance = self.specification.tolerance
        settled = (
            tolerance > 0
            and row.checked_loss is not None
            and abs(row.checked_loss - row.loss) < tolerance * row.checked_loss
        )
        return replace(row, checked_loss=row.loss, converged=settled)


def select(state: State, rows: Sequence[int]) -> State:
    """Only these rows of a batch, in this order."""
    indices = np.asarray(rows, dtype=np.intp)
    return type(state)(**{field.name: getattr(state, field.name)[indices] for field in fields(state)})


def concatenate(states: Sequence[State]) -> State:
    """The rows of several batches of one solver as one batch."""
    return type(states[0])(
        **{field.name: np.concatenate([getattr(state, field.name) for state in states]) for field in fields(states[0])}
    )
