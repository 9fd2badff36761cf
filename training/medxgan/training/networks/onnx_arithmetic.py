"""ONNX operators that compute, with tensors or with shapes.

A shape is a list of integers, and one of its extents a number, not a tensor: a batch then stays of any size. What is
computed from shapes alone (products, comparisons, a square root for a scale) is computed with numbers, too.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from medxgan.training.networks.onnx_node import Conversion, Converted, Function, Node


def each(function: Callable[..., Any], *values: Any) -> Any:
    """A function of numbers, of lists number by number; a single one is taken for all."""
    length = max((len(value) for value in values if isinstance(value, list)), default=0)
    if not any(isinstance(value, list) for value in values):
        return function(*values)
    columns = [
        (value * length if len(value) == 1 else value) if isinstance(value, list) else [value] * length
        for value in values
    ]
    return [each(function, *row) for row in zip(*columns, strict=True)]


def mixed(on_tensors: Callable[..., Any], on_numbers: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A function of tensors, or of shapes; beside a tensor, what is none becomes one."""

    def compute(*values: Any) -> Any:
        like = next((value for value in values if isinstance(value, Tensor)), None)
        if like is None:
            return each(on_numbers or on_tensors, *values)
        return on_tensors(*(as_tensor(value, like) for value in values))

    return compute


def as_tensor(value: Any, like: Tensor) -> Tensor:
    """A tensor as it is; of numbers, one on the same device and, where they have a fraction, of the same type."""
    if isinstance(value, Tensor):
        return value
    tensor = torch.tensor(value, device=like.device)
    return tensor.to(like.dtype) if tensor.is_floating_point() else tensor


def _pointwise(on_tensors: Callable[..., Any], on_numbers: Callable[..., Any]) -> Conversion:
    function = mixed(on_tensors, on_numbers)
    return lambda node: (Function(function), tuple(range(len(node.inputs))))


def _arithmetic(function: Callable[[Any, Any], Any], on_numbers: Callable[[Any, Any], Any] | None = None) -> Conversion:
    """A binary operator; beside a tensor a number stays one, for which PyTorch has simpler gradients."""

    def compute(a: Any, b: Any) -> Any:
        if isinstance(a, Tensor) and not isinstance(b, list):
            return function(a, b)
        if isinstance(b, Tensor) and not isinstance(a, list):
            return function(a, b)
        return mixed(function, on_numbers)(a, b)

    return lambda node: (Function(compute), tuple(range(len(node.inputs))))


def _quotient(a: Any, b: Any) -> Any:
    return a / b if isinstance(a, float) or isinstance(b, float) else a // b


def _power(a: Any, b: Any) -> Any:
    """Of a number as well as of a list of one: both are one exponent."""
    return a**b


def _modulo(node: Node) -> Converted:
    if node.attributes.get("fmod", 0):
        return _arithmetic(torch.fmod, math.fmod)(node)
    return _arithmetic(torch.remainder, operator.mod)(node)


def _reduction(on_tensors: Callable[..., Tensor], on_numbers: Callable[[list[Any]], Any] | None = None) -> Conversion:
    def convert(node: Node) -> Converted:
        # No axes are all axes, or none where it is said so.
        axes = node.setting("axes", 1) or ([] if node.attributes.get("noop_with_empty_axes", 0) else None)
        keep = bool(node.attributes.get("keepdims", 1))

        def reduce(x: Any) -> Any:
            if isinstance(x, list):
                if on_numbers is None:
                    raise TypeError("expected a tensor, found a shape")
                return [on_numbers(x)] if keep else on_numbers(x)
            if axes == []:
                # Each number by itself: an axis of one number more, which is then left out.
                return on_tensors(x[..., None], (-1,), keepdim=False)
            return on_tensors(x, tuple(range(x.ndim)) if axes is None else tuple(axes), keepdim=keep)

        return Function(reduce), (0,)

    return convert


def _product(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keepdim)
    return x


def _magnitude(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    return x.abs().sum(axes, keepdim=keepdim)


def _root_of_squares(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    return (x * x).sum(axes, keepdim=keepdim).sqrt()


def _where(condition: Any, a: Any, b: Any) -> Any:
    if any(isinstance(value, Tensor) for value in (condition, a, b)):
        like = next(value for value in (a, b, condition) if isinstance(value, Tensor))
        return torch.where(as_tensor(condition, like), as_tensor(a, like), as_tensor(b, like))
    return each(lambda which, one, other: one if which else other, condition, a, b)


ARITHMETIC: dict[str, Conversion] = {
    "Abs": _pointwise(torch.abs, abs),
    "Add": _arithmetic(operator.add),
    "And": _pointwise(torch.logical_and, lambda a, b: a and b),
    "Ceil": _pointwise(torch.ceil, lambda x: float(math.ceil(x))),
    "Div": _arithmetic(operator.truediv, _quotient),
    "Equal": _pointwise(torch.eq, operator.eq),
    "Exp": _pointwise(torch.exp, math.exp),
    "Floor": _pointwise(torch.floor, lambda x: float(math.floor(x))),
    "Greater": _pointwise(torch.gt, operator.gt),
    "GreaterOrEqual": _pointwise(torch.ge, operator.ge),
    "Less": _pointwise(torch.lt, operator.lt),
    "LessOrEqual": _pointwise(torch.le, operator.le),
    "Mod": _modulo,
    "Mul": _arithmetic(operator.mul),
    "Neg": _pointwise(torch.neg, operator.neg),
    "Not": _pointwise(torch.logical_not, operator.not_),
    "Or": _pointwise(torch.logical_or, lambda a, b: a or b),
    "Pow": _arithmetic(_power),
    "Reciprocal": _pointwise(torch.reciprocal, lambda x: 1 / x),
    "ReduceL1": _reduction(_magnitude),
    "ReduceL2": _reduction(_root_of_squares),
    "ReduceLogSum": _reduction(lambda x, axes, keepdim: x.sum(axes, keepdim=keepdim).log()),
    "ReduceLogSumExp": _reduction(torch.logsumexp),
    "ReduceMax": _reduction(torch.amax, max),
    "ReduceMean": _reduction(torch.mean),
    "ReduceMin": _reduction(torch.amin, min),
    "ReduceProd": _reduction(_product, math.prod),
    "ReduceSum": _reduction(torch.sum, sum),
    "ReduceSumSquare": _reduction(lambda x, axes, keepdim: (x * x).sum(axes, keepdim=keepdim)),
    "Round": _pointwise(torch.round, lambda x: float(round(x))),
    "Sign": _pointwise(torch.sign, lambda x: (x > 0) - (x < 0)),
    "Sqrt": _pointwise(torch.sqrt, math.sqrt),
    "Sub": _arithmetic(operator.sub),
    "Where": lambda node: (Function(_where), tuple(range(len(node.inputs)))),
    "Xor": _pointwise(torch.logical_xor, operator.ne),
}
"""Operators that compute number by number, and sums and their like."""
