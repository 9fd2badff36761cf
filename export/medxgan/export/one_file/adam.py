"""Adam: its update is in the bundle's inversion step."""

import math
from collections.abc import Mapping

from onnx_ir import Value

from medxgan.bundle.graphs import LATENTS, LOSSES, STATE
from medxgan.export.one_file.parts import Operators
from medxgan.export.one_file.problem import Problem, State, full


class Adam:
    """Adam (Kingma and Ba, 2015) for one row. Implements `Solver`.

    Args:
        problem: what it brings down. The losses of a state are those before its last step.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The state's tensors."""
        return dict.fromkeys(LATENTS, (1, self._problem.latents)) | dict.fromkeys(("step", *LOSSES), (1,))

    def start(self, op: Operators, z: Value) -> State:
        """The state before the first step; its losses are not known."""
        zeros = {name: full(op, shape) for name, shape in self.shapes.items() if name not in LOSSES}
        return zeros | {name: full(op, (1,), math.nan) for name in LOSSES} | {"z": z}

    def step(self, op: Operators, state: State, is_first: Value) -> State:
        """The state after one more gradient."""
        del is_first  # the step count tells
        outputs = self._problem.step(op, {name: state[name] for name in STATE})
        return {name: outputs[f"next_{name}"] for name in STATE} | {name: outputs[name] for name in LOSSES}
