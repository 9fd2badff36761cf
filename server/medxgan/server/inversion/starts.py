"""Restarts: the inversion of one image from several starts, and the one of them that is the answer.

The loss of an inversion has many minima. The best of several starts is nearer to the lowest; how far their difference
maps are apart says how much of a map is owed to the start. A single inversion is restart 0, whatever else runs beside.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from medxgan.server.engine.port import InversionState
from medxgan.server.inversion import InversionRow, InversionSettings, Progress, Realizations
from medxgan.server.randomness import stream_generator

RESTART_DEVIATION = 0.5
"""Standard deviation of the noise that a restart adds to the first guess: half of that of the latent code's prior,
N(0, I). Enough to leave the first start's valley, and little enough that the first guess still tells: with the shipped
chest bundle and three films, the best of 6 ended lower than with 0.1 for each, and 1.0 brought no more on average."""


def starts(row: InversionRow, state: InversionState, seed: int) -> list[tuple[InversionRow, InversionState]]:
    """The starts of all restarts, in order: as many as the row's settings say.

    Args:
        row: restart 0, from `Inversion.init`.
        state: its state, a batch of one.
        seed: of the noise, 0 to 2^64 - 1; restart i draws from stream i, so that it is the same whatever the others.
    """
    noisy = [
        replace(
            state,
            z=state.z + RESTART_DEVIATION * stream_generator(seed, index).standard_normal(state.z.shape, np.float32),
        )
        for index in range(1, row.settings.restarts)
    ]
    return [(row, each) for each in (state, *noisy)]


def joint_progress(rows: Sequence[InversionRow], terminated: Callable[[InversionRow], bool]) -> Progress:
    """Progress of one request: the steps of the slowest row that goes on, the losses of the row that is best so far.

    The slowest says when the request ends. A row that waits for its turn has taken no steps.
    """
    going_on = [row.steps_taken for row in rows if not terminated(row)]
    steps_taken = min(going_on) if going_on else max(row.steps_taken for row in rows)
    best = min((row for row in rows if row.steps_taken > 0), key=lambda row: _comparable(row.loss))
    return replace(best.progress, steps_taken=steps_taken)


def best(candidates: Sequence[Realizations], settings: InversionSettings) -> int:
    """The restart with the lowest loss of its final picture; of several, the first. NaN is worse than any number."""

    def loss(index: int) -> float:
        outcome = candidates[index].outcome
        return _comparable(settings.loss(outcome.reconstruction_mse, outcome.classification_loss))

    return min(range(len(candidates)), key=loss)


def _comparable(loss: float) -> float:
    return math.inf if math.isnan(loss) else loss
