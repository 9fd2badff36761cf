"""An ONNX file as a PyTorch module, so that it can be differentiated.

Its nodes become submodules of their own names, and of PyTorch's own classes where there are such: layers can be chosen
by name, and the gradients are those that PyTorch has for them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor, nn

from medxgan.training.networks.onnx_node import Array, Node, OnnxError
from medxgan.training.networks.onnx_operators import OPERATORS

__all__ = ["OnnxError", "OnnxModule", "read_onnx"]


class OnnxModule(nn.Module):
    """Runs the nodes of an ONNX graph with one input and one output.

    Args:
        model: the file's content.

    Raises:
        OnnxError: an operator is missing, or the graph has another form; the message names the node.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        graph = model.graph
        constants = {each.name: _array(each) for each in graph.initializer}
        self._input = _only("input", [each.name for each in graph.input if each.name not in constants])
        self._output = _only("output", [each.name for each in graph.output])
        self.nodes = nn.ModuleDict()
        self._steps: list[tuple[str, list[str], list[str]]] = []
        opset = next(each.version for each in model.opset_import if each.domain in {"", "ai.onnx"})
        for index, proto in enumerate(graph.node):
            node = _node(proto, index, opset, constants)
            if node.operator == "Constant":
                constants[proto.output[0]] = _constant(node)
                continue
            if node.domain not in {"", "ai.onnx"} or node.operator not in OPERATORS:
                raise OnnxError(
                    f"node {node.name}: operator {node.operator} is not among those that can be converted: "
                    f"{', '.join(sorted(OPERATORS))}"
                )
            module, read = OPERATORS[node.operator](node)
            names = [node.inputs[position] for position in read]
            if all(name in constants for name in names):
                constants[proto.output[0]] = _folded(module, [constants[name] for name in names])
                continue
            key = self._key(node.name)
            self.nodes[key] = module
            self._steps.append((key, names, list(proto.output)))
        self._lists: dict[str, Any] = {}
        self._buffers_by_name: dict[str, str] = {}
        for name in dict.fromkeys(name for _, names, _ in self._steps for name in names if name in constants):
            array = constants[name]
            if np.issubdtype(array.dtype, np.floating):
                self._buffers_by_name[name] = f"constant_{len(self._buffers_by_name)}"
                self.register_buffer(self._buffers_by_name[name], torch.from_numpy(array.copy()))
            else:
                self._lists[name] = array.tolist()

    def forward(self, x: Tensor) -> Tensor:
        """The graph's output for its input x: [B, C, H, W]."""
        values: dict[str, Any] = {self._input: x} | self._lists
        values |= {name: self.get_buffer(buffer) for name, buffer in self._buffers_by_name.items()}
        for key, names, outputs in self._steps:
            results = self.nodes[key](*(values[name] for name in names))
            results = results if isinstance(results, tuple) else (results,)
            values |= dict(zip(outputs, results, strict=False))
        output: Tensor = values[self._output]
        return output

    def _key(self, name: str) -> str:
        """A node's name as a module may have it."""
        name = name.replace(".", "_")
        while name in self.nodes:
            name += "_"
        return name


def read_onnx(file: Path) -> OnnxModule:
    """Convert an ONNX file, in evaluation mode.

    Raises:
        FileNotFoundError: no such file.
        OnnxError: it is not an ONNX file, or holds what can't be converted.
    """
    try:
        model = onnx.load(file)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise OnnxError(f"expected an ONNX file: {str(error).strip().splitlines()[0]}") from error
    return OnnxModule(model).eval().requires_grad_(False)


def _only(kind: str, names: Sequence[str]) -> str:
    if len(names) != 1:
        raise OnnxError(f"expected one {kind}, found {len(names)}: {', '.join(names)}")
    return names[0]


def _array(tensor: onnx.TensorProto) -> Array:
    array: Array = numpy_helper.to_array(tensor)
    if np.issubdtype(array.dtype, np.floating) and array.dtype != np.float32:
        raise OnnxError(f"tensor {tensor.name}: expected float32, found {array.dtype}")
    return array


def _node(proto: onnx.NodeProto, index: int, opset: int, constants: dict[str, Array]) -> Node:
    return Node(
        name=proto.name or f"{proto.op_type}_{index}",
        operator=proto.op_type,
        domain=proto.domain,
        opset=opset,
        attributes={each.name: onnx.helper.get_attribute_value(each) for each in proto.attribute},
        inputs=tuple(proto.input),
        constants={position: constants[name] for position, name in enumerate(proto.input) if name in constants},
        outputs=len(proto.output),
    )


def _constant(node: Node) -> Array:
    """The value of a Constant node."""
    (kind, value), *_ = node.attributes.items()
    if kind == "value":
        return _array(value)
    integer = kind in {"value_int", "value_ints"}
    if not integer and kind not in {"value_float", "value_floats"}:
        raise OnnxError(f"node {node.name}: constants of the kind {kind} can't be converted")
    return np.array(value, np.int64 if integer else np.float32)


def _folded(module: Callable[..., Any], inputs: Sequence[Array]) -> Array:
    """What a node makes of constants alone."""
    values = [
        torch.from_numpy(each.copy()) if np.issubdtype(each.dtype, np.floating) else each.tolist() for each in inputs
    ]
    result = module(*values)
    return result.detach().numpy() if isinstance(result, Tensor) else np.array(result, np.int64)
