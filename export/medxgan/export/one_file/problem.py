"""What an inversion brings down, and how a solver does it step by step, in the operators of ONNX."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from onnx_ir import DataType, Value, tensor

from medxgan.bundle.graphs import LOSSES
from medxgan.export.one_file.parts import Operators, Parts
from medxgan.v1.bundle_pb2 import GRAPH_ROLE_INVERSION_STEP

State = dict[str, Value]
"""What a solver passes from step to step, by name: `z` [1, D], the LOSSES [1] each, and what else it keeps."""


@dataclass(frozen=True)
class Problem:
    """The loss of one image.

    Attributes:
        parts: the bundle's graphs.
        constants: the inputs of the inversion step that stay as they are, by the names of `CONSTANTS`.
        latents: D, the size of z.
    """

    parts: Parts
    constants: Mapping[str, Value]
    latents: int

    def step(self, op: Operators, state: Mapping[str, Value]) -> State:
        """Run the bundle's inversion step: the losses at z, and everything that follows by Adam.

        Args:
            op: where its nodes go.
            state: `STATE` of `medxgan.bundle.graphs`.
        """
        return self.parts.call(op, GRAPH_ROLE_INVERSION_STEP, {**state, **self.constants})

    def loss(self, op: Operators, state: Mapping[str, Value]) -> Value:
        """[1] the total of the loss terms of a state: λ · MSE + BCE."""
        reconstruction, classification = (state[name] for name in LOSSES)
        return op.Add(op.Mul(self.constants["reconstruction_weight"], reconstruction), classification)


class Solver(Protocol):
    """Brings the loss down. It keeps nothing itself: its state is passed."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The state's tensors, all float32."""
        ...

    def start(self, op: Operators, z: Value) -> State:
        """The state before the first step."""
        ...

    def step(self, op: Operators, state: State, is_first: Value) -> State:
        """The state after one more gradient.

        Args:
            op: of the body of a loop.
            state: before it.
            is_first: a truth value.
        """
        ...


def full(op: Operators, shape: tuple[int, ...], value: float = 0.0) -> Value:
    """A tensor of one number."""
    return op.ConstantOfShape(op.Constant(value=tensor(shape, DataType.INT64)), value=tensor([value], DataType.FLOAT))
