"""What the conversion of an ONNX node is told of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medxgan.training.networks.layers import Rearrangement

Array = NDArray[Any]

Converted = tuple[nn.Module, tuple[int, ...]]
"""A module, and the positions of the node's inputs that it reads."""


Conversion = Callable[["Node"], Converted]
"""How an operator is converted."""


class Function(nn.Module):
    """A function as a module, for those that PyTorch has no class for."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *values: Any) -> Any:
        """The function's result."""
        return self._function(*values)


class Rearranged(Function, Rearrangement):
    """The same for one that gives the numbers it is given, in another shape or order."""


class OnnxError(Exception):
    """An ONNX file can't be converted; the message names the node."""


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    Attributes:
        name: as in the file, or made of operator and position.
        operator: "Conv".
        domain: of the operator; empty is ONNX's own.
        opset: version of the operator set.
        attributes: by name.
        inputs: names of the tensors that it reads; empty where an optional one is left out.
        constants: those inputs that are known beforehand, by position.
        outputs: how many it has.
        read: positions of those that anything reads.
        fixed_batch: whether the file is made for so many pictures at a time.
    """

    name: str
    operator: str
    domain: str
    opset: int
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    constants: Mapping[int, Array]
    outputs: int
    read: frozenset[int]
    fixed_batch: bool

    def has(self, position: int) -> bool:
        """Whether an optional input is given."""
        return position < len(self.inputs) and self.inputs[position] != ""

    def array(self, position: int) -> Array:
        """A constant input.

        Raises:
            OnnxError: the input is computed.
        """
        if position not in self.constants:
            raise OnnxError(
                f"node {self.name}: operator {self.operator} is converted with a constant input {position} only, "
                "found one that is computed"
            )
        return self.constants[position]

    def tensor(self, position: int) -> Tensor:
        """A constant input as a tensor of its own.

        Raises:
            OnnxError: the input is computed.
        """
        return torch.from_numpy(self.array(position).copy())

    def setting(self, name: str, position: int) -> Any:
        """What older operator sets state as an attribute and newer ones as an input: a number, a list, or None."""
        if name in self.attributes:
            return self.attributes[name]
        return np.asarray(self.array(position)).tolist() if self.has(position) else None

    def refuse(self, what: str) -> OnnxError:
        """An error that names the node."""
        return OnnxError(f"node {self.name}: operator {self.operator} {what}")
