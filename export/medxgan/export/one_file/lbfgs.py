"""L-BFGS for one row: what the server does on the host between two gradients, in the operators of ONNX.

Liu and Nocedal, On the limited memory BFGS method, Mathematical Programming 45 (1989), with the two-loop recursion of
Nocedal (1980). A step costs one gradient: a place with a higher loss is left again, and the next one sought at half the
length; what it told of the curvature is kept.
"""

import math
from collections.abc import Mapping

from onnx_ir import Value

from medxgan.bundle.graphs import LATENTS, LOSSES
from medxgan.export.one_file.parts import Operators
from medxgan.export.one_file.problem import Problem, State, full

PAIRS = 8
"""Steps that are remembered, as many as the server remembers."""

LEAST_CURVATURE = 1e-10
"""Of a pair that is remembered; as the server's."""


class Lbfgs:
    """L-BFGS with a step at a time. Implements `Solver`.

    `z` is the best place so far and the losses are those there; `gradient` is the one there; `moves` and `bends` are
    [PAIRS, D] differences of places and of their gradients, the latest last, 0 where there was none; `length` is the
    share of the next step that is taken. Latents are measured in units of their learning rates.

    Args:
        problem: what it brings down.
        beta1: of the bundle's Adam, through whose step the gradient is read.
    """

    def __init__(self, problem: Problem, beta1: float) -> None:
        self._problem = problem
        self._beta1 = beta1

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The state's tensors."""
        latents = self._problem.latents
        latent = dict.fromkeys(("z", "gradient"), (1, latents))
        pairs = dict.fromkeys(("moves", "bends"), (PAIRS, latents))
        return {**latent, **pairs, **dict.fromkeys((*LOSSES, "length"), (1,))}

    def start(self, op: Operators, z: Value) -> State:
        """The state before the first step, whose losses are infinite."""
        known = {"gradient": 0.0, "moves": 0.0, "bends": 0.0, "length": 1.0, **dict.fromkeys(LOSSES, math.inf)}
        return {"z": z} | {name: full(op, self.shapes[name], value) for name, value in known.items()}

    def step(self, op: Operators, state: State, is_first: Value) -> State:
        """The state after one more gradient: first that of the start, then of a place that may be better."""
        ahead = op.Neg(op.Mul(state["length"], self._direction(op, state)))
        move = op.Where(is_first, 0.0, ahead)
        place = op.Add(state["z"], move)
        losses, gradient = self._gradient(op, place)
        # NaN is less than no number, and its place is left.
        loss, best = (self._problem.loss(op, each) for each in (losses, state))
        better = op.Or(is_first, op.Less(loss, best))
        bend = op.Sub(gradient, state["gradient"])
        told = op.And(op.Not(is_first), op.Greater(_dot(op, move, bend), LEAST_CURVATURE))

        def kept(one: Value, other: Value) -> Value:
            return op.Where(better, one, other)

        longer, shorter = op.Min(op.Mul(state["length"], 2.0), 1.0), op.Mul(state["length"], 0.5)
        return {
            "z": kept(place, state["z"]),
            "gradient": kept(gradient, state["gradient"]),
            "moves": op.Where(told, _with_latest(op, state["moves"], move), state["moves"]),
            "bends": op.Where(told, _with_latest(op, state["bends"], bend), state["bends"]),
            "length": kept(longer, shorter),
            **{name: kept(losses[name], state[name]) for name in LOSSES},
        }

    def _gradient(self, op: Operators, z: Value) -> tuple[State, Value]:
        """The losses at z, and the gradient [1, D] of their weighted sum."""
        latents = self._problem.latents
        unmoved = {name: full(op, (1, latents)) for name in LATENTS} | {"step": full(op, (1,))}
        outputs = self._problem.step(op, {**unmoved, "z": z})
        # From a first moment of 0, a step of Adam leads to 1 - beta1 of the gradient.
        gradient = op.Div(outputs["next_first_moment"], 1 - self._beta1)
        return {name: outputs[name] for name in LOSSES}, gradient

    def _direction(self, op: Operators, state: State) -> Value:
        """[1, D] the inverse of the curvature, as far as the pairs tell it, times the gradient."""
        unit = self._problem.constants["learning_rate"]
        moving = op.Greater(unit, 0.0)
        # What is held still never moved.
        moves = _rows(op, op.Div(state["moves"], op.Where(moving, unit, 1.0)))
        bends = _rows(op, op.Mul(state["bends"], unit))
        curvatures = [_dot(op, move, bend) for move, bend in zip(moves, bends, strict=True)]
        weights = [_quotient(op, 1.0, curvature) for curvature in curvatures]
        rest = op.Mul(state["gradient"], unit)
        shares: list[Value] = []
        for move, bend, weight in reversed(list(zip(moves, bends, weights, strict=True))):
            share = op.Mul(weight, _dot(op, move, rest))
            rest = op.Sub(rest, op.Mul(share, bend))
            shares.insert(0, share)
        # The scale that the latest pair tells; without a pair, a length of 1 for each latent, in the mean square.
        free = op.ReduceSum(op.Cast(moving, to=1), [1], keepdims=0)
        first = op.Sqrt(_quotient(op, free, _dot(op, rest, rest)))
        told = _quotient(op, curvatures[-1], _dot(op, bends[-1], bends[-1]))
        rest = op.Mul(rest, op.Where(op.Greater(curvatures[-1], 0.0), told, first))
        for move, bend, weight, share in zip(moves, bends, weights, shares, strict=True):
            rest = op.Add(rest, op.Mul(op.Sub(share, op.Mul(weight, _dot(op, bend, rest))), move))
        return op.Mul(rest, unit)


def _dot(op: Operators, one: Value, other: Value) -> Value:
    """[1] the product of two [1, D]."""
    return op.ReduceSum(op.Mul(one, other), [1], keepdims=0)


def _quotient(op: Operators, dividend: Value | float, divisor: Value) -> Value:
    """[1] a quotient, and 0 where the divisor is not above 0."""
    is_above = op.Greater(divisor, 0.0)
    return op.Where(is_above, op.Div(dividend, op.Where(is_above, divisor, 1.0)), 0.0)


def _rows(op: Operators, pairs: Value) -> list[Value]:
    """[PAIRS, D] as as many [1, D]."""
    return list(op.Split(pairs, axis=0, num_outputs=PAIRS, _outputs=PAIRS))


def _with_latest(op: Operators, pairs: Value, latest: Value) -> Value:
    return op.Concat(op.Slice(pairs, [1], [PAIRS], [0]), latest, axis=0)
