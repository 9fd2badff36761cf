"""An ONNX file as a PyTorch module, so that it can be differentiated.

Its nodes become submodules of their own names, and of PyTorch's own classes where there are such: layers can be chosen
by name, and the gradients are those that PyTorch has for them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor, nn

from medxgan.training.networks.onnx_ending import cut_ending
from medxgan.training.networks.onnx_node import Array, Node, OnnxError
from medxgan.training.networks.onnx_operators import OPERATORS
from medxgan.training.networks.onnx_shapes import FLOATS

__all__ = ["OnnxError", "OnnxModule", "load_onnx", "read_onnx"]

NOT_FROM_SHAPES = frozenset({"ConstantOfShape", "Expand", "Range"})
"""Operators that make a tensor of a shape."""


_QUANTIZED = "a quantized network has no gradients: export it before it is quantized"
_CONTROL = "what depends on values can't be written as one graph: export the network without control flow"

NOT_DIFFERENTIATED = {
    "QuantizeLinear": _QUANTIZED,
    "DequantizeLinear": _QUANTIZED,
    "DynamicQuantizeLinear": _QUANTIZED,
    "QLinearConv": _QUANTIZED,
    "QLinearMatMul": _QUANTIZED,
    "ConvInteger": _QUANTIZED,
    "MatMulInteger": _QUANTIZED,
    "If": _CONTROL,
    "Loop": _CONTROL,
    "Scan": _CONTROL,
}
"""Why some operators never will be converted."""


class OnnxModule(nn.Module):
    """Runs the nodes of an ONNX graph with one input and one output.

    Args:
        model: the file's content.

    Attributes:
        channels_last: whether the file takes [B, H, W, C]; the module takes [B, C, H, W] all the same.
        picture: C, H and W that the file takes, None each where it does not say.
        ending: operator that the file's outputs went through at last and these don't: "Softmax" or "Sigmoid".
        half_precision: whether the file computes in half precision; this module does not.

    Raises:
        OnnxError: an operator is missing, or the graph has another form; the message names the node.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        model, self.ending = cut_ending(model)
        graph = model.graph
        if graph.sparse_initializer:
            raise OnnxError("sparse weights can't be converted")
        constants = {each.name: _array(each) for each in graph.initializer}
        inputs = [each for each in graph.input if each.name not in constants]
        self._input = _only("input", [each.name for each in inputs])
        self._output = _only("output", [each.name for each in graph.output])
        self.half_precision = any(each.data_type in _HALVES for each in graph.initializer)
        self.channels_last, self.picture = _picture(inputs[0], graph.node)
        self.nodes = nn.ModuleDict()
        self._steps: list[tuple[str, list[str], list[str]]] = []
        self._lists: dict[str, Any] = {}
        self._buffers_by_name: dict[str, str] = {}
        opset = next((each.version for each in model.opset_import if each.domain in {"", "ai.onnx"}), 1)
        shapes: set[str] = set()
        wanted = {name for proto in graph.node for name in proto.input} | {self._output}
        batch = next(iter(inputs[0].type.tensor_type.shape.dim), None)
        fixed_batch = batch is not None and batch.dim_value > 0
        for index, proto in enumerate(graph.node):
            node = _node(proto, index, opset, constants, wanted, fixed_batch)
            if node.operator == "Constant" and node.domain in {"", "ai.onnx"}:
                constants[proto.output[0]] = _constant(node)
                continue
            module, names = _converted(node)
            if names and all(name in constants for name in names):
                results = _folded(node, module, [constants[name] for name in names])
                constants |= dict(zip(proto.output, results, strict=False))
                continue
            computed = {name for name in names if name not in constants}
            of_shapes = node.operator in {"Shape", "Size"} or (bool(computed) and computed <= shapes)
            if of_shapes and node.operator not in NOT_FROM_SHAPES:
                shapes |= set(proto.output)
            key = self._key(node.name)
            self.nodes[key] = module
            read = [self._constant(name, constants[name], of_shapes) if name in constants else name for name in names]
            self._steps.append((key, read, list(proto.output)))
        if self._output not in {name for _, _, outputs in self._steps for name in outputs}:
            raise OnnxError(f'the output "{self._output}" does not depend on the input')

    def forward(self, x: Tensor) -> Tensor:
        """The graph's output for its input x: [B, C, H, W]."""
        values: dict[str, Any] = {self._input: x.permute(0, 2, 3, 1) if self.channels_last else x} | self._lists
        values |= {name: self.get_buffer(buffer) for name, buffer in self._buffers_by_name.items()}
        for key, names, outputs in self._steps:
            try:
                results = self.nodes[key](*(values[name] for name in names))
            except Exception as error:
                error.add_note(f"node {key}")
                raise
            results = results if isinstance(results, tuple) else (results,)
            values |= dict(zip(outputs, results, strict=False))
        output: Tensor = values[self._output]
        return output

    @property
    def conversion_notes(self) -> tuple[str, ...]:
        """What a person should know of the conversion."""
        notes = []
        if self.ending:
            notes.append(
                f"The {self.ending} that the file ends in was left out: the outputs, and what is explained, are logits."
            )
        if self.half_precision:
            notes.append(
                "The file computes in half precision and this bundle in single: scores may differ by a hundredth."
            )
        return tuple(notes)

    def as_the_file_takes(self, x: Tensor) -> Tensor:
        """[B, C, H, W] as the file itself takes it."""
        return x.permute(0, 2, 3, 1).contiguous() if self.channels_last else x

    def _constant(self, name: str, array: Array, of_shapes: bool) -> str:
        """Hold a constant, and say by what name: as numbers where it stands for shapes, else as a tensor."""
        if of_shapes or (array.ndim < 2 and not np.issubdtype(array.dtype, np.floating)):
            name = f"{name} as numbers"
            self._lists[name] = array.tolist()
        elif name not in self._buffers_by_name:
            self._buffers_by_name[name] = f"constant_{len(self._buffers_by_name)}"
            self.register_buffer(self._buffers_by_name[name], torch.from_numpy(array.copy()))
        return name

    def _key(self, name: str) -> str:
        """A node's name as a module may have it."""
        name = name.replace(".", "_")
        while name in self.nodes:
            name += "_"
        return name


_HALVES = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}


def read_onnx(file: Path) -> OnnxModule:
    """Convert an ONNX file, in evaluation mode.

    Raises:
        FileNotFoundError: no such file.
        OnnxError: it is not an ONNX file, or holds what can't be converted.
    """
    return OnnxModule(load_onnx(file)).eval().requires_grad_(False)


def load_onnx(file: Path) -> onnx.ModelProto:
    """Read an ONNX file with its weights; functions of its own are put where they are called.

    Raises:
        FileNotFoundError: no such file.
        OnnxError: it is not an ONNX file, or its weights lie elsewhere.
    """
    if not file.is_file():
        raise FileNotFoundError(file)
    try:
        model = onnx.load(file)
        _check(model)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
    except (DecodeError, onnx.checker.ValidationError, OSError, ValueError) as error:
        raise OnnxError(f"expected an ONNX file: {str(error).strip().splitlines()[0]}") from error
    return model


def _check(model: onnx.ModelProto) -> None:
    """See that it is valid. The checker asks for the shapes of what goes in and out, which files may well leave open.

    Raises:
        ValidationError: it is not.
    """
    kinds = [each.type.tensor_type for each in (*model.graph.input, *model.graph.output)]
    shapeless = [kind for kind in kinds if not kind.HasField("shape")]
    for kind in shapeless:
        kind.shape.SetInParent()
    onnx.checker.check_model(model)
    for kind in shapeless:
        kind.ClearField("shape")


def _only(kind: str, names: Sequence[str]) -> str:
    if len(names) != 1:
        raise OnnxError(f"expected one {kind}, found {len(names)}: {', '.join(names)}")
    return names[0]


def _picture(graph_input: onnx.ValueInfoProto, nodes: Sequence[onnx.NodeProto]) -> tuple[bool, tuple[int | None, ...]]:
    """Whether the channels come last, and C, H and W, each None where the file does not say."""
    kind = graph_input.type.tensor_type
    if kind.elem_type not in FLOATS:
        found = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
        raise OnnxError(f'input "{graph_input.name}": expected numbers with a fraction, found {found}')
    if not kind.HasField("shape"):
        return _turned_first(graph_input.name, nodes), (None, None, None)
    sizes = [each.dim_value if each.dim_value > 0 else None for each in kind.shape.dim]
    if len(sizes) != 4:
        raise OnnxError(f'input "{graph_input.name}": expected pictures of four axes, found {len(sizes)}')
    channels = {1, 3}
    if sizes[1] in channels and sizes[3] not in channels:
        last = False
    elif sizes[3] in channels and sizes[1] not in channels:
        last = True
    else:
        last = _turned_first(graph_input.name, nodes)
    return last, (sizes[3], *sizes[1:3]) if last else tuple(sizes[1:])


def _turned_first(name: str, nodes: Sequence[onnx.NodeProto]) -> bool:
    """Whether the first that is done with the input is to put channels, which came last, first."""
    for node in nodes:
        if name in node.input:
            turns = [list(each.ints) for each in node.attribute if each.name == "perm"]
            return node.op_type == "Transpose" and turns == [[0, 3, 1, 2]]
    return False


def _array(tensor: onnx.TensorProto) -> Array:
    try:
        array: Array = numpy_helper.to_array(tensor)
    except (TypeError, ValueError, OSError) as error:
        raise OnnxError(f"tensor {tensor.name}: can't be read: {error}") from error
    if tensor.data_type in FLOATS:
        return array.astype(np.float32)
    if array.dtype == np.bool_:
        return array
    if not np.issubdtype(array.dtype, np.integer):
        raise OnnxError(f"tensor {tensor.name}: expected numbers, found {array.dtype}")
    return array.astype(np.int64)


def _node(
    proto: onnx.NodeProto,
    index: int,
    opset: int,
    constants: dict[str, Array],
    wanted: set[str],
    fixed_batch: bool,
) -> Node:
    return Node(
        name=proto.name or f"{proto.op_type}_{index}",
        operator=proto.op_type,
        domain=proto.domain,
        opset=opset,
        attributes={each.name: onnx.helper.get_attribute_value(each) for each in proto.attribute},
        inputs=tuple(proto.input),
        constants={position: constants[name] for position, name in enumerate(proto.input) if name in constants},
        outputs=len(proto.output),
        read=frozenset(position for position, name in enumerate(proto.output) if name in wanted),
        fixed_batch=fixed_batch,
    )


def _converted(node: Node) -> tuple[nn.Module, list[str]]:
    """A node's module, and the names of what it reads."""
    if node.domain not in {"", "ai.onnx"} or node.operator not in OPERATORS:
        operator = ".".join(each for each in (node.domain, node.operator) if each)
        if reason := NOT_DIFFERENTIATED.get(node.operator):
            raise OnnxError(f"node {node.name}: operator {operator} can't be converted: {reason}")
        raise OnnxError(
            f"node {node.name}: operator {operator} is not among those that can be converted: "
            f"{', '.join(sorted(OPERATORS))}"
        )
    try:
        module, read = OPERATORS[node.operator](node)
    except OnnxError:
        raise
    except Exception as error:
        raise node.refuse(f"can't be converted: {type(error).__name__}: {error}") from error
    return module, [node.inputs[position] for position in read]


def _constant(node: Node) -> Array:
    """The value of a Constant node."""
    (kind, value), *_ = node.attributes.items()
    if kind == "value":
        return _array(value)
    integer = kind in {"value_int", "value_ints"}
    if not integer and kind not in {"value_float", "value_floats"}:
        raise OnnxError(f"node {node.name}: constants of the kind {kind} can't be converted")
    return np.array(value, np.int64 if integer else np.float32)


def _folded(node: Node, module: Callable[..., Any], inputs: Sequence[Array]) -> list[Array]:
    """What a node makes of constants alone."""
    try:
        results = module(
            *(
                torch.from_numpy(each.copy())
                if np.issubdtype(each.dtype, np.floating) or each.ndim > 1
                else each.tolist()
                for each in inputs
            )
        )
    except Exception as error:
        raise node.refuse(f"can't be computed: {type(error).__name__}: {error}") from error
    arrays = []
    for result in results if isinstance(results, tuple) else (results,):
        array = result.detach().numpy() if isinstance(result, Tensor) else np.asarray(result)
        arrays.append(array.astype(np.float32) if np.issubdtype(array.dtype, np.floating) else array)
    return arrays
