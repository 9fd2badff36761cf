"""L-BFGS, each row for itself: gradient descent that learns the curvature from its own last steps.

Liu and Nocedal, On the limited memory BFGS method, Mathematical Programming 45 (1989), with the two-loop recursion of
Nocedal (1980). A step costs one gradient: instead of a search along the line, a place with a higher loss is left again,
and the next one sought at half the length; what it told of the curvature is kept. So all rows of a batch take their
steps together, and none depends on another.

The engine gives losses and gradients; what is done with them is small beside that, and is done here on the host.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medxgan.server.engine.port import Engine, FloatArray, InversionState, Losses

PAIRS = 8
"""Steps that a row remembers. The literature takes 3 to 20; the latent codes here gain nothing beyond 8."""

_LEAST_CURVATURE = 1e-10


@dataclass(frozen=True)
class LbfgsState(InversionState):
    """The rows of an inversion by L-BFGS, on the host. Adam's moments stay 0.

    `z` is the best place so far; `step` counts gradients. `learning_rate` is the length of the first step for each
    latent; later steps are as long as the curvature says, in units of it.

    Attributes:
        gradient: [B, D] at z.
        reconstruction: [B] loss term at z, as is the next; infinite before the first step.
        classification: [B].
        moves: [B, PAIRS, D] differences of places, the latest last; 0 where there was none.
        bends: [B, PAIRS, D] differences of their gradients.
        length: [B] share of the next step that is taken, in (0, 1].
    """

    gradient: FloatArray
    reconstruction: FloatArray
    classification: FloatArray
    moves: FloatArray
    bends: FloatArray
    length: FloatArray

    @classmethod
    def of(cls, state: InversionState) -> "LbfgsState":
        """Rows before their first step."""
        rows, latents = state.z.shape
        pairs = np.zeros((rows, PAIRS, latents), np.float32)
        unknown = np.full(rows, np.inf, np.float32)
        return cls(
            **vars(state),
            gradient=np.zeros_like(state.z),
            reconstruction=unknown,
            classification=unknown,
            moves=pairs,
            bends=pairs,
            length=np.ones(rows, np.float32),
        )


class LbfgsRun:
    """A batch of inversions by L-BFGS.

    Args:
        engine: gives the losses and gradients.
        state: the rows.
    """

    def __init__(self, engine: Engine, state: LbfgsState) -> None:
        self._run = engine.start(state)
        self._state = state

    def advance(self, steps: int) -> Losses:
        """Take `steps` (>= 1) steps with every row; the losses are those of the best place of each."""
        if steps < 1:
            raise ValueError(f"expected at least 1 step, got {steps}")
        for _ in range(steps):
            self._state = stepped(self._state, self._run.gradient)
        return Losses(self._state.reconstruction, self._state.classification)

    def state(self) -> LbfgsState:
        """The rows."""
        return self._state


def stepped(state: LbfgsState, gradient: Callable[[FloatArray], tuple[Losses, FloatArray]]) -> LbfgsState:
    """The rows after one step: the first looks at the start, each later one at a place that may be better."""
    new = state.step == 0
    move = np.where(new[:, np.newaxis], np.float32(0), -state.length[:, np.newaxis] * direction(state))
    losses, there = gradient(state.z + move)
    # NaN is no better than any number, and its place is left.
    with np.errstate(invalid="ignore"):
        better = new | (_total(state, losses) < _total(state, Losses(state.reconstruction, state.classification)))
        bend = there - state.gradient
        told = ~new & (np.einsum("bd,bd->b", move, bend) > _LEAST_CURVATURE)
    return LbfgsState(
        z=_chosen(better, state.z + move, state.z),
        first_moment=state.first_moment,
        second_moment=state.second_moment,
        step=state.step + 1,
        image=state.image,
        target=state.target,
        learning_rate=state.learning_rate,
        reconstruction_weight=state.reconstruction_weight,
        gradient=_chosen(better, there, state.gradient),
        reconstruction=_chosen(better, losses.reconstruction, state.reconstruction),
        classification=_chosen(better, losses.classification, state.classification),
        moves=_chosen(told, _with_latest(state.moves, move), state.moves),
        bends=_chosen(told, _with_latest(state.bends, bend), state.bends),
        length=_chosen(better, np.minimum(2 * state.length, np.float32(1)), np.float32(0.5) * state.length),
    )


def direction(state: LbfgsState) -> FloatArray:
    """[B, D] the inverse of the curvature, as far as the pairs tell it, times the gradient.

    Latents are measured in units of their learning rates. Without a pair, the gradient at a length of 1 for each latent
    that may move, in the mean square: that of Adam's first step.
    """
    unit = state.learning_rate
    moves = np.divide(state.moves, unit[:, np.newaxis], out=np.zeros_like(state.moves), where=unit[:, np.newaxis] > 0)
    bends = state.bends * unit[:, np.newaxis]
    rest = state.gradient * unit
    curvature = np.einsum("bpd,bpd->bp", moves, bends)
    weight = np.divide(1, curvature, out=np.zeros_like(curvature), where=curvature > 0)
    shares = np.zeros_like(curvature)
    for pair in reversed(range(PAIRS)):
        shares[:, pair] = weight[:, pair] * np.einsum("bd,bd->b", moves[:, pair], rest)
        rest = rest - shares[:, pair, np.newaxis] * bends[:, pair]
    rest = rest * _first_scale(rest, unit, curvature[:, -1], bends[:, -1])[:, np.newaxis]
    for pair in range(PAIRS):
        share = shares[:, pair] - weight[:, pair] * np.einsum("bd,bd->b", bends[:, pair], rest)
        rest = rest + share[:, np.newaxis] * moves[:, pair]
    result: FloatArray = rest * unit
    return result


def _first_scale(rest: FloatArray, unit: FloatArray, curvature: FloatArray, bend: FloatArray) -> FloatArray:
    """[B] the scale of the curvature's inverse that the latest pair tells; without a pair, that of the first step."""
    steepness = np.einsum("bd,bd->b", rest, rest)
    first = np.sqrt(np.divide((unit > 0).sum(1), steepness, out=np.zeros_like(steepness), where=steepness > 0))
    square = np.einsum("bd,bd->b", bend, bend)
    told = np.divide(curvature, square, out=np.zeros_like(square), where=square > 0)
    scale: FloatArray = np.where(curvature > 0, told, first).astype(np.float32)
    return scale


def _total(state: LbfgsState, losses: Losses) -> FloatArray:
    total: FloatArray = state.reconstruction_weight * losses.reconstruction + losses.classification
    return total


def _with_latest(pairs: FloatArray, latest: FloatArray) -> FloatArray:
    return np.concatenate([pairs[:, 1:], latest[:, np.newaxis]], 1)


def _chosen(rows: NDArray[np.bool_], one: FloatArray, other: FloatArray) -> FloatArray:
    """One array's rows where `rows` is True, else the other's."""
    chosen: FloatArray = np.where(rows.reshape(-1, *[1] * (one.ndim - 1)), one, other).astype(np.float32, copy=False)
    return chosen
