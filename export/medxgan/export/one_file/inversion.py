"""The inversion as a `Loop`: it ends after so many steps, or once the loss has settled, as on the server."""

import math
from dataclasses import dataclass

from onnx_ir import DataType, Value, val

from medxgan.export.one_file.adam import Adam
from medxgan.export.one_file.lbfgs import Lbfgs
from medxgan.export.one_file.parts import Operators
from medxgan.export.one_file.problem import Problem, Solver, State, full
from medxgan.v1.bundle_pb2 import SOLVER_ADAM, SOLVER_LBFGS, SOLVER_UNSPECIFIED, InversionSpecification

CHECKED = "checked_loss"
"""Carried from check to check: [1] the total loss, NaN before the first."""


@dataclass(frozen=True)
class Found:
    """Where an inversion has led.

    Attributes:
        z: [1, D].
        steps_taken: [1] gradient steps, int64.
    """

    z: Value
    steps_taken: Value


def invert(op: Operators, problem: Problem, specification: InversionSpecification, z: Value, steps: Value) -> Found:
    """Put the loop into a graph.

    Args:
        op: of the graph.
        problem: what is brought down, by the bundle's default solver.
        specification: of the bundle: the solver, and when a loss has settled.
        z: [1, D], where it starts.
        steps: [1] most steps to take, int64.
    """
    solver = _solver(problem, specification)
    settles = specification.tolerance > 0
    start = solver.start(op, z) | ({CHECKED: full(op, (1,), math.nan)} if settles else {})
    shapes = {**solver.shapes, CHECKED: (1,)}

    def body(op: Operators, index: Value, going_on: Value, taken: Value, *carried: Value) -> list[Value]:
        state = dict(zip(start, carried, strict=True))
        following = solver.step(op, state, op.Equal(index, 0))
        taken = op.Add(taken, 1)
        if settles:
            following[CHECKED], going_on = _checked(op, problem, specification, state[CHECKED], following, taken)
        else:
            going_on = op.Identity(going_on)
        return [going_on, taken, *(following[name] for name in start)]

    inputs = [val("index", DataType.INT64, []), val("going_on_before", DataType.BOOL, [])]
    inputs += [val("steps_before", DataType.INT64, [1])]
    inputs += [val(f"{name}_before", DataType.FLOAT, shapes[name]) for name in start]
    outputs = [val("going_on_after", DataType.BOOL, []), val("steps_after", DataType.INT64, [1])]
    outputs += [val(f"{name}_after", DataType.FLOAT, shapes[name]) for name in start]
    # A name in the body must be none of the graph around it.
    op.builder.push_module("inversion")
    graph = op.builder.subgraph(body, inputs, outputs, name="inversion")
    op.builder.pop_module()
    none_taken = op.Sub(steps, steps)
    taken, *ended = op.Loop(steps, True, none_taken, *start.values(), body=graph, _outputs=1 + len(start))
    return Found(dict(zip(start, ended, strict=True))["z"], taken)


def _solver(problem: Problem, specification: InversionSpecification) -> Solver:
    """A bundle's default solver."""
    adam, lbfgs = Adam(problem), Lbfgs(problem, specification.beta1)
    solvers: dict[int, Solver] = {SOLVER_UNSPECIFIED: adam, SOLVER_ADAM: adam, SOLVER_LBFGS: lbfgs}
    return solvers[specification.default_solver]


def _checked(
    op: Operators,
    problem: Problem,
    specification: InversionSpecification,
    checked: Value,
    state: State,
    taken: Value,
) -> tuple[Value, Value]:
    """The loss to compare with at the next check, and whether to go on. NaN has not settled."""
    due = op.Equal(op.Mod(taken, specification.check_interval), 0)
    loss = problem.loss(op, state)
    near = op.Less(op.Abs(op.Sub(checked, loss)), op.Mul(checked, specification.tolerance))
    settled = op.And(due, near)
    return op.Where(due, loss, checked), op.Squeeze(op.Not(settled))
