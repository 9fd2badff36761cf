"""How the gradients of operators are said with forward operators, which every inference runtime has."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._decomp import core_aten_decompositions
from torch._ops import OpOverload
from torch.fx import GraphModule

from medxgan.export.errors import UnsupportedOperatorError
from medxgan.export.pooling import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d_with_indices_backward,
)

aten = torch.ops.aten

Decompositions = dict[OpOverload, Callable[..., Any]]


def gradient_decompositions() -> Decompositions:
    """The table for tracing a gradient with respect to an input, the weights being frozen."""
    table: Decompositions = dict(core_aten_decompositions())
    table[aten._adaptive_avg_pool2d.default] = adaptive_avg_pool2d
    table[aten._adaptive_avg_pool2d_backward.default] = adaptive_avg_pool2d_backward
    table[aten.avg_pool2d.default] = avg_pool2d
    table[aten.avg_pool2d_backward.default] = avg_pool2d_backward
    table[aten.convolution_backward.default] = convolution_backward
    table[aten.max_pool2d_with_indices_backward.default] = max_pool2d_with_indices_backward
    table[aten.slice_backward.default] = slice_backward
    table[aten.threshold_backward.default] = threshold_backward
    return table


def convolution_backward(
    grad_output: Tensor,
    x: Tensor,
    weight: Tensor,
    _bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Tensor, None, None]:
    """Input gradient of a convolution: the transposed convolution with the same weight, and the other way round.

    Args:
        grad_output: gradient with respect to the convolution's output.
        x: the convolution's input.
        weight: the convolution's weight.
        stride: of the convolution, as are the following.
        padding: per axis.
        dilation: per axis.
        transposed: whether the convolution is a transposed one.
        output_padding: of a transposed convolution.
        groups: groups of channels.
        output_mask: which gradients are wanted: of the input, the weight, the bias.

    Raises:
        UnsupportedOperatorError: the gradient of a weight or bias is wanted: it is not frozen.
    """
    if output_mask[1] or output_mask[2]:
        raise UnsupportedOperatorError(
            str(aten.convolution_backward.default), "expected frozen weights, found one that requires a gradient"
        )
    if transposed:
        none = [0] * len(stride)
        gradient = aten.convolution(grad_output, weight, None, stride, padding, dilation, False, none, groups)
        for axis, (size, extra, step) in enumerate(zip(x.shape[2:], output_padding, stride, strict=True), 2):
            # Rows that output_padding added at the far end reach no input, unless there is a stride's worth of them.
            if extra >= step:
                gradient = gradient.narrow(axis, 0, size)
        return gradient, None, None
    # A strided convolution may leave rows at the far end unread: they are given back as zeros.
    unread = [
        size - ((grad - 1) * step - 2 * pad + spread * (kernel - 1) + 1)
        for size, grad, step, pad, spread, kernel in zip(
            x.shape[2:], grad_output.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True
        )
    ]
    return aten.convolution(grad_output, weight, None, stride, padding, dilation, True, unread, groups), None, None


def slice_backward(
    grad_output: Tensor, input_sizes: Sequence[int], dim: int, start: int, end: int, step: int
) -> Tensor:
    """Input gradient of a slice: zeros around it. The standard decomposition scatters into a tensor of zeros instead.

    Args:
        grad_output: gradient with respect to the slice.
        input_sizes: shape of the sliced tensor.
        dim: the sliced axis.
        start: of the slice; negative counts from the end.
        end: of the slice; the gradient's extent already tells it.
        step: of the slice.
    """
    if step != 1:
        gradient: Tensor = core_aten_decompositions()[aten.slice_backward.default](
            grad_output, input_sizes, dim, start, end, step
        )
        return gradient
    size = input_sizes[dim]
    before = start if start >= 0 else start + size
    behind = size - before - grad_output.shape[dim]
    if before == 0 and behind == 0:
        return grad_output
    later_axes = [0, 0] * (grad_output.ndim - 1 - dim % grad_output.ndim)
    return nn.functional.pad(grad_output, [*later_axes, before, behind])


def threshold_backward(grad_output: Tensor, x: Tensor, threshold: float) -> Tensor:
    """Gradient of ReLU: a product with 0 or 1, which runtimes do faster than the standard decomposition's choice."""
    return grad_output * (x > threshold).to(grad_output.dtype)


def guided_threshold_backward(grad_output: Tensor, x: Tensor, threshold: float) -> Tensor:
    """The same in guided backpropagation (Springenberg et al., 2015): only positive gradients pass."""
    return threshold_backward(grad_output.clamp_min(0), x, threshold)


def backward_operator(graph: GraphModule) -> OpOverload | None:
    """The first operator of a traced gradient that is no forward operator, if there is one."""
    for node in graph.graph.nodes:
        if isinstance(node.target, OpOverload) and node.target._schema.name.endswith("_backward"):
            return node.target
    return None
