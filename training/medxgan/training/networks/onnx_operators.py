"""How each ONNX operator is said with PyTorch: a function per operator, and one table.

Such a function gets a node and gives a module, with the positions of the inputs that the module reads; the other
inputs are constants that it holds. Shapes are lists of integers and not tensors: a batch then stays of any size.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medxgan.training.networks.frozen_batch_norm import FrozenBatchNorm
from medxgan.training.networks.onnx_node import Converted, Node
from medxgan.training.networks.onnx_windows import (
    average_pool,
    convolution,
    hold,
    max_pool,
    pad,
    transposed_convolution,
)

Conversion = Callable[[Node], Converted]


class Function(nn.Module):
    """A function as a module, for those that PyTorch has no class for."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *values: Any) -> Any:
        """The function's result."""
        return self._function(*values)


def _module(make: Callable[[Node], nn.Module]) -> Conversion:
    """An operator of one tensor."""
    return lambda node: (make(node), (0,))


def _pointwise(function: Callable[..., Any]) -> Conversion:
    """An operator that reads all of its inputs."""
    return lambda node: (Function(function), tuple(range(len(node.inputs))))


def _global_maximum(x: Tensor) -> Tensor:
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


# --- Norms and products ---


def _batch_norm(node: Node) -> Converted:
    if node.attributes.get("training_mode", 0):
        raise node.refuse("is converted in evaluation mode only")
    weight, bias, mean, variance = (node.tensor(position) for position in range(1, 5))
    return FrozenBatchNorm(weight, bias, mean, variance, node.attributes.get("epsilon", 1e-5)), (0,)


def _instance_norm(node: Node) -> Converted:
    epsilon = node.attributes.get("epsilon", 1e-5)
    return Function(lambda x, weight, bias: F.instance_norm(x, weight=weight, bias=bias, eps=epsilon)), (0, 1, 2)


def _layer_norm(node: Node) -> Converted:
    axis, epsilon = node.attributes.get("axis", -1), node.attributes.get("epsilon", 1e-5)
    if node.outputs > 1:
        raise node.refuse("is converted with one output only")

    def normalize(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.layer_norm(x, x.shape[axis % x.ndim :], weight, bias, epsilon)

    return Function(normalize), tuple(range(len(node.inputs)))


def _gemm(node: Node) -> Converted:
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    if node.attributes.get("transA", 0):
        raise node.refuse("is converted without transA only")
    weight = alpha * node.tensor(1)
    weight = weight if node.attributes.get("transB", 0) else weight.T
    module = nn.Linear(weight.shape[1], weight.shape[0], node.has(2))
    bias = beta * node.tensor(2).expand(weight.shape[0]) if node.has(2) else None
    hold(module, weight.contiguous(), None if bias is None else bias.contiguous())
    return module, (0,)


def _matrix_product(node: Node) -> Converted:
    if 1 in node.constants and node.constants[1].ndim == 2:
        weight = node.tensor(1).T.contiguous()
        module = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        hold(module, weight, None)
        return module, (0,)
    return Function(torch.matmul), (0, 1)


# --- Activations ---


def _clip(node: Node) -> Converted:
    low, high = node.setting("min", 1), node.setting("max", 2)
    if (low, high) == (0, None):
        return nn.ReLU(), (0,)
    if (low, high) == (0, 6):
        return nn.ReLU6(), (0,)
    return Function(lambda x: torch.clamp(x, low, high)), (0,)


def _hard_sigmoid(node: Node) -> Converted:
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    return Function(lambda x: torch.clamp(alpha * x + beta, 0, 1)), (0,)


def _softmax(function: type[nn.Softmax] | type[nn.LogSoftmax]) -> Conversion:
    def convert(node: Node) -> Converted:
        axis = node.attributes.get("axis", -1 if node.opset >= 13 else 1)
        return function(dim=axis), (0,)

    return convert


# --- Shapes ---


def _reduction(function: Callable[..., Tensor]) -> Conversion:
    def convert(node: Node) -> Converted:
        axes = node.setting("axes", 1)
        keep = bool(node.attributes.get("keepdims", 1))
        if axes is None and node.attributes.get("noop_with_empty_axes", 0):
            return nn.Identity(), (0,)

        def reduce(x: Tensor) -> Tensor:
            return function(x, tuple(range(x.ndim)) if axes is None else tuple(axes), keepdim=keep)

        return Function(reduce), (0,)

    return convert


def _reshape(node: Node) -> Converted:
    def reshape(x: Tensor, shape: list[Any]) -> Tensor:
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
        return x.reshape(sizes)

    if 1 in node.constants:
        shape = node.constants[1].tolist()
        # A file made for one picture at a time says so here.
        if shape[:1] == [1] and len(shape) > 1:
            shape = [0, *shape[1:]]
        return Function(lambda x: reshape(x, shape)), (0,)
    return Function(reshape), (0, 1)


def _flatten(node: Node) -> Converted:
    axis = node.attributes.get("axis", 1)
    if axis == 1:
        return nn.Flatten(), (0,)
    raise node.refuse(f"is converted with axis 1 only, found {axis}")


def _squeeze(node: Node) -> Converted:
    axes = node.setting("axes", 1)
    if axes is None:
        raise node.refuse("is converted with stated axes only")

    def squeeze(x: Any) -> Any:
        if isinstance(x, Tensor):
            return x.squeeze(tuple(axes))
        return x[0] if isinstance(x, list) else x

    return Function(squeeze), (0,)


def _unsqueeze(node: Node) -> Converted:
    axes = node.setting("axes", 1)

    def unsqueeze(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return [x]
        rank = x.ndim + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            x = x.unsqueeze(axis)
        return x

    return Function(unsqueeze), (0,)


def _concatenate(node: Node) -> Converted:
    axis = node.attributes["axis"]

    def concatenate(*parts: Any) -> Any:
        if isinstance(parts[0], Tensor):
            return torch.cat(parts, axis)
        return [size for part in parts for size in part]

    return Function(concatenate), tuple(range(len(node.inputs)))


def _gather(node: Node) -> Converted:
    axis = node.attributes.get("axis", 0)

    def gather(x: Any, indices: Any) -> Any:
        if isinstance(x, list):
            return [x[index] for index in indices] if isinstance(indices, list) else x[indices]
        if isinstance(indices, int):
            return x.select(axis, indices)
        return x.index_select(axis, torch.tensor(indices, device=x.device))

    return Function(gather), (0, 1)


def _slice(node: Node) -> Converted:
    starts, ends = node.setting("starts", 1), node.setting("ends", 2)
    axes = node.setting("axes", 3) or list(range(len(starts)))
    steps = node.setting("steps", 4) or [1] * len(starts)
    if min(steps) < 1:
        raise node.refuse("is converted with positive steps only")

    def cut(x: Any) -> Any:
        if isinstance(x, list):
            return x[starts[0] : ends[0] : steps[0]]
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            x = torch.ops.aten.slice(x, axis, start, end, step)
        return x

    return Function(cut), (0,)


def _split(node: Node) -> Converted:
    axis, sizes = node.attributes.get("axis", 0), node.setting("split", 1)

    def split(x: Tensor) -> tuple[Tensor, ...]:
        return torch.split(x, sizes or math.ceil(x.shape[axis] / node.outputs), axis)

    return Function(split), (0,)


def _cast(node: Node) -> Converted:
    # 1 is FLOAT and 7 INT64 of onnx.TensorProto: tensors are the one already, shapes the other.
    if node.attributes["to"] not in {1, 7}:
        raise node.refuse("is converted to FLOAT or INT64 only")
    return nn.Identity(), (0,)


def _arithmetic(function: Callable[[Any, Any], Any]) -> Conversion:
    """A binary operator of tensors, or of shapes."""

    def compute(a: Any, b: Any) -> Any:
        if isinstance(a, Tensor) or isinstance(b, Tensor):
            return function(a, b)
        if isinstance(a, list):
            return [
                function(one, other) for one, other in zip(a, b if isinstance(b, list) else [b] * len(a), strict=True)
            ]
        return function(a, b)

    return _pointwise(compute)


def _divide(a: Any, b: Any) -> Any:
    return a / b if isinstance(a, Tensor) or isinstance(b, Tensor) else a // b


def _gelu(node: Node) -> nn.Module:
    return nn.GELU(approximate=node.attributes.get("approximate", b"none").decode())


OPERATORS: dict[str, Conversion] = {
    "Abs": _pointwise(torch.abs),
    "Add": _arithmetic(lambda a, b: a + b),
    "AveragePool": average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concatenate,
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "Div": _arithmetic(_divide),
    "Dropout": _module(lambda _: nn.Identity()),
    "Elu": _module(lambda node: nn.ELU(node.attributes.get("alpha", 1.0))),
    "Erf": _pointwise(torch.erf),
    "Exp": _pointwise(torch.exp),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _module(_gelu),
    "Gemm": _gemm,
    "GlobalAveragePool": _module(lambda _: nn.AdaptiveAvgPool2d(1)),
    "GlobalMaxPool": _pointwise(_global_maximum),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _module(lambda _: nn.Hardswish()),
    "Identity": _module(lambda _: nn.Identity()),
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _module(lambda node: nn.LeakyReLU(node.attributes.get("alpha", 0.01))),
    "Log": _pointwise(torch.log),
    "LogSoftmax": _softmax(nn.LogSoftmax),
    "MatMul": _matrix_product,
    "MaxPool": max_pool,
    "Mul": _arithmetic(lambda a, b: a * b),
    "Neg": _pointwise(torch.neg),
    "PRelu": _pointwise(lambda x, slope: torch.where(x > 0, x, slope * x)),
    "Pad": pad,
    "Pow": _arithmetic(lambda a, b: a**b),
    "Reciprocal": _pointwise(torch.reciprocal),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMean": _reduction(torch.mean),
    "ReduceSum": _reduction(torch.sum),
    "Relu": _module(lambda _: nn.ReLU()),
    "Reshape": _reshape,
    "Shape": _pointwise(lambda x: list(x.shape)),
    "Sigmoid": _module(lambda _: nn.Sigmoid()),
    "Slice": _slice,
    "Softmax": _softmax(nn.Softmax),
    "Softplus": _module(lambda _: nn.Softplus()),
    "Split": _split,
    "Sqrt": _pointwise(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _arithmetic(lambda a, b: a - b),
    "Tanh": _module(lambda _: nn.Tanh()),
    "Transpose": lambda node: (Function(lambda x: x.permute(node.attributes["perm"])), (0,)),
    "Unsqueeze": _unsqueeze,
}
"""Every operator that can be converted."""
