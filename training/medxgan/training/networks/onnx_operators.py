"""How each ONNX operator is said with PyTorch: a function per operator, and one table.

Such a function gets a node and gives a module, with the positions of the inputs that the module reads; the other
inputs are constants that it holds.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medxgan.training.networks.frozen_batch_norm import FrozenBatchNorm
from medxgan.training.networks.onnx_arithmetic import ARITHMETIC, mixed
from medxgan.training.networks.onnx_node import Conversion, Converted, Function, Node
from medxgan.training.networks.onnx_padding import pad
from medxgan.training.networks.onnx_resize import resize, upsample
from medxgan.training.networks.onnx_shapes import SHAPE_OPERATORS
from medxgan.training.networks.onnx_windows import (
    average_pool,
    convolution,
    hold,
    max_pool,
    transposed_convolution,
)


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
    # Before there was an attribute for it, the statistics of the batch were outputs in training mode alone.
    if node.attributes.get("training_mode", 0) or (node.opset < 14 and node.outputs > 1):
        raise node.refuse("is converted in evaluation mode only: export the network in evaluation mode")
    weight, bias, mean, variance = (node.tensor(position) for position in range(1, 5))
    return FrozenBatchNorm(weight, bias, mean, variance, node.attributes.get("epsilon", 1e-5)), (0,)


def _instance_norm(node: Node) -> Converted:
    epsilon = node.attributes.get("epsilon", 1e-5)
    return Function(lambda x, weight, bias: F.instance_norm(x, weight=weight, bias=bias, eps=epsilon)), (0, 1, 2)


def _layer_norm(node: Node) -> Converted:
    axis, epsilon = node.attributes.get("axis", -1), node.attributes.get("epsilon", 1e-5)
    if node.read - {0}:
        raise node.refuse("is converted with one output only")

    def normalize(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.layer_norm(x, x.shape[axis % x.ndim :], weight, bias, epsilon)

    return Function(normalize), tuple(range(len(node.inputs)))


def _group_norm(node: Node) -> Converted:
    groups, epsilon = node.attributes["num_groups"], node.attributes.get("epsilon", 1e-5)

    def normalize(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if node.opset < 21:  # one number a group
            weight, bias = (each.repeat_interleave(x.shape[1] // groups) for each in (weight, bias))
        normalized: Tensor = F.group_norm(x, groups, weight, bias, epsilon)
        return normalized

    return Function(normalize), (0, 1, 2)


def _root_mean_square_norm(node: Node) -> Converted:
    axis, epsilon = node.attributes.get("axis", -1), node.attributes.get("epsilon", 1e-5)

    def normalize(x: Tensor, weight: Tensor) -> Tensor:
        axes = tuple(range(axis % x.ndim, x.ndim))
        normalized: Tensor = x * torch.rsqrt((x * x).mean(axes, keepdim=True) + epsilon) * weight
        return normalized

    return Function(normalize), (0, 1)


def _local_response(node: Node) -> Converted:
    """Each x / (bias + alpha / size * the sum of squares over `size` neighbouring channels) ** beta."""
    size = node.attributes["size"]
    alpha, beta = node.attributes.get("alpha", 1e-4), node.attributes.get("beta", 0.75)
    bias = node.attributes.get("bias", 1.0)
    before = (size - 1) // 2

    def normalize(x: Tensor) -> Tensor:
        channels = x.shape[1]
        squares = F.pad(x * x, [0, 0] * (x.ndim - 2) + [before, size - 1 - before])
        total = functools.reduce(torch.add, (squares[:, first : first + channels] for first in range(size)))
        normalized: Tensor = x * (bias + alpha / size * total) ** -beta
        return normalized

    return Function(normalize), (0,)


def _norm_to_one(node: Node) -> Converted:
    axis, power = node.attributes.get("axis", -1), node.attributes.get("p", 2)
    return Function(lambda x: x / x.norm(power, axis, keepdim=True)), (0,)


def _gemm(node: Node) -> Converted:
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    left, right = (bool(node.attributes.get(name, 0)) for name in ("transA", "transB"))
    bias = node.constants.get(2)
    # A bias that is not the same for all rows, or not known beforehand.
    of_rows = node.has(2) and (bias is None or (bias.ndim > 1 and bias.shape[0] > 1))
    if left or 1 not in node.constants or of_rows:

        def product(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
            result: Tensor = alpha * ((a.mT if left else a) @ (b.mT if right else b))
            if c is not None:
                result = result + beta * c
            return result

        return Function(product), tuple(range(len(node.inputs)))
    weight = alpha * node.tensor(1)
    weight = weight if node.attributes.get("transB", 0) else weight.T
    module = nn.Linear(weight.shape[1], weight.shape[0], node.has(2))
    bias = beta * node.tensor(2).reshape(-1).expand(weight.shape[0]) if node.has(2) else None
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
    given = [position for position in (1, 2) if node.has(position)]
    if any(position not in node.constants for position in given):
        keys = [("low", "high")[position - 1] for position in given]

        def clip(x: Tensor, *bounds: Any) -> Tensor:
            stated = dict(zip(keys, bounds, strict=True))
            low, high = stated.get("low"), stated.get("high")
            x = x if low is None else mixed(torch.maximum)(x, low)
            clipped: Tensor = x if high is None else mixed(torch.minimum)(x, high)
            return clipped

        return Function(clip), (0, *given)
    low, high = node.setting("min", 1), node.setting("max", 2)
    if (low, high) == (None, None):
        return nn.Identity(), (0,)
    if (low, high) == (0, None):
        return nn.ReLU(), (0,)
    if (low, high) == (0, 6):
        return nn.ReLU6(), (0,)
    return Function(lambda x: torch.clamp(x, low, high)), (0,)


def _dropout(node: Node) -> Converted:
    # Without this input it is in evaluation mode, and so it was before there was one.
    if node.has(2) and bool(node.array(2)) and (not node.has(1) or float(node.array(1)) > 0):
        raise node.refuse("is converted in evaluation mode only: export the network in evaluation mode")
    if node.read - {0}:
        raise node.refuse("is converted without its mask only")
    return nn.Identity(), (0,)


def _hard_sigmoid(node: Node) -> Converted:
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    return Function(lambda x: torch.clamp(alpha * x + beta, 0, 1)), (0,)


class _FlatSoftmax(nn.Softmax):
    """Softmax as it was before operator set 13: over the axis and all that follow it."""

    dim: int

    def forward(self, x: Tensor) -> Tensor:
        """[..., K] to the same."""
        return x.flatten(self.dim).softmax(-1).view_as(x)


def _softmax(node: Node) -> Converted:
    if node.opset >= 13:
        return nn.Softmax(dim=node.attributes.get("axis", -1)), (0,)
    return _FlatSoftmax(dim=node.attributes.get("axis", 1)), (0,)


def _log_softmax(node: Node) -> Converted:
    axis = node.attributes.get("axis", -1 if node.opset >= 13 else 1)
    if node.opset >= 13:
        return nn.LogSoftmax(dim=axis), (0,)
    return Function(lambda x: x.flatten(axis).log_softmax(-1).view_as(x)), (0,)


def _thresholded(node: Node) -> nn.Module:
    alpha = node.attributes.get("alpha", 1.0)
    return Function(lambda x: x * (x > alpha).to(x.dtype))


def _selu(node: Node) -> nn.Module:
    alpha = node.attributes.get("alpha", 1.67326319217681884765625)
    gamma = node.attributes.get("gamma", 1.05070102214813232421875)
    return Function(lambda x: gamma * F.elu(x, alpha))


def _shrink(node: Node) -> nn.Module:
    bias, limit = node.attributes.get("bias", 0.0), node.attributes.get("lambd", 0.5)
    return Function(lambda x: (x + bias) * (x < -limit).to(x.dtype) + (x - bias) * (x > limit).to(x.dtype))


def _swish(node: Node) -> nn.Module:
    alpha = node.attributes.get("alpha", 1.0)
    return Function(lambda x: x * torch.sigmoid(alpha * x))


def _variadic(function: Callable[[Any, Any], Any]) -> Conversion:
    """An operator of any number of tensors."""
    return _pointwise(lambda *values: functools.reduce(mixed(function), values))


def _mean(*values: Tensor) -> Tensor:
    return functools.reduce(torch.add, values) / len(values)


def _gelu(node: Node) -> nn.Module:
    return nn.GELU(approximate=node.attributes.get("approximate", b"none").decode())


OPERATORS: dict[str, Conversion] = {
    **ARITHMETIC,
    **SHAPE_OPERATORS,
    "Atan": _pointwise(torch.atan),
    "AveragePool": average_pool,
    "BatchNormalization": _batch_norm,
    "Celu": _module(lambda node: nn.CELU(node.attributes.get("alpha", 1.0))),
    "Clip": _clip,
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "Cos": _pointwise(torch.cos),
    "Cosh": _pointwise(torch.cosh),
    "Dropout": _dropout,
    "Elu": _module(lambda node: nn.ELU(node.attributes.get("alpha", 1.0))),
    "Erf": _pointwise(torch.erf),
    "Gelu": _module(_gelu),
    "Gemm": _gemm,
    "GlobalAveragePool": _module(lambda _: nn.AdaptiveAvgPool2d(1)),
    "GlobalMaxPool": _pointwise(_global_maximum),
    "GroupNormalization": _group_norm,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _module(lambda _: nn.Hardswish()),
    "InstanceNormalization": _instance_norm,
    "LRN": _local_response,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _module(lambda node: nn.LeakyReLU(node.attributes.get("alpha", 0.01))),
    "Log": _pointwise(torch.log),
    "LogSoftmax": _log_softmax,
    "LpNormalization": _norm_to_one,
    "MatMul": _matrix_product,
    "Max": _variadic(torch.maximum),
    "MaxPool": max_pool,
    "Mean": _pointwise(_mean),
    "Min": _variadic(torch.minimum),
    "Mish": _module(lambda _: nn.Mish()),
    "PRelu": _pointwise(lambda x, slope: torch.where(x > 0, x, slope * x)),
    "Pad": pad,
    "RMSNormalization": _root_mean_square_norm,
    "Relu": _module(lambda _: nn.ReLU()),
    "Resize": resize,
    "Selu": _module(_selu),
    "Shrink": _module(_shrink),
    "Sigmoid": _module(lambda _: nn.Sigmoid()),
    "Sin": _pointwise(torch.sin),
    "Sinh": _pointwise(torch.sinh),
    "Softmax": _softmax,
    "Softplus": _module(lambda _: nn.Softplus()),
    "Softsign": _module(lambda _: nn.Softsign()),
    "Sum": _variadic(torch.add),
    "Swish": _module(_swish),
    "Tanh": _module(lambda _: nn.Tanh()),
    "ThresholdedRelu": _module(_thresholded),
    "Upsample": upsample,
}
"""Every operator that can be converted."""
