"""How ONNX operators with windows, and their padding, are said with PyTorch."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from medxgan.training.networks.onnx_node import Converted, Node


class SamePadding(nn.Module):
    """Pads so that a window with a stride visits every pixel: ONNX's auto_pad."""

    def __init__(self, kernel: list[int], strides: list[int], dilations: list[int], upper: bool, value: float) -> None:
        super().__init__()
        self.axes = list(zip(kernel, strides, dilations, strict=True))
        self.upper = upper
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to a larger one."""
        pads: list[int] = []
        for size, (kernel, stride, dilation) in zip(x.shape[2:], self.axes, strict=True):
            total = max(0, (math.ceil(size / stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
            before = total // 2 if self.upper else total - total // 2
            pads = [before, total - before, *pads]
        return F.pad(x, pads, value=self.value)


class CountedAverage(nn.Module):
    """Average-pooling that leaves padding out of account, whatever the padding."""

    def __init__(self, padding: nn.Module, pool: nn.AvgPool2d) -> None:
        super().__init__()
        self.padding = padding
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to a smaller one."""
        ones = x.new_ones(1, 1, *x.shape[2:])
        averages: Tensor = self.pool(self.padding(x)) / self.pool(self.padding(ones))
        return averages


class Cropped(nn.Module):
    """A transposed convolution without padding, of which so much is then cut off as ONNX asks for.

    Args:
        module: the convolution.
        shape: height and width to leave; None: `pads` are cut off. One of 0 is the stride times what comes in.
        pads: rows and columns to cut off at the top, the left, the bottom and the right.
        upper: whether, of an odd number to cut off, more is cut off at the bottom and the right.
    """

    def __init__(self, module: nn.ConvTranspose2d, shape: list[int] | None, pads: list[int], upper: bool) -> None:
        super().__init__()
        self.module = module
        self.shape = shape
        self.pads = pads
        self.upper = upper

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to a larger one."""
        result: Tensor = self.module(x)
        for axis, (before, behind) in enumerate(zip(self.pads[:2], self.pads[2:], strict=True)):
            if self.shape is not None:
                wanted = self.shape[axis] or x.shape[axis + 2] * self.module.stride[axis]
                total = result.shape[axis + 2] - wanted
                before = total // 2 if self.upper else total - total // 2
                behind = total - before
            if before < 0 or behind < 0:
                raise ValueError("is converted to no larger a shape than its input and weights make")
            result = result.narrow(axis + 2, before, result.shape[axis + 2] - before - behind)
        return result


def _window(
    node: Node, kernel: list[int], value: float, dimensions: tuple[int, ...] = (2,)
) -> tuple[nn.Module | None, list[int], list[int], list[int]]:
    """A padding to do first, where the operator can't do it itself, and strides, dilations, symmetric padding."""
    count = len(kernel)
    if count not in dimensions:
        raise node.refuse(f"is converted in {' or '.join(map(str, dimensions))} dimensions only, found {count}")
    strides = list(node.attributes.get("strides", [1] * count))
    dilations = list(node.attributes.get("dilations", [1] * count))
    automatic = node.attributes.get("auto_pad", b"NOTSET").decode()
    none = [0] * count
    if automatic.startswith("SAME"):
        return SamePadding(kernel, strides, dilations, automatic == "SAME_UPPER", value), strides, dilations, none
    pads = list(node.attributes.get("pads", none + none)) if automatic == "NOTSET" else none + none
    before, behind = pads[:count], pads[count:]
    # Pooling takes no more than half of its window.
    if before == behind and all(2 * pad <= extent for pad, extent in zip(before, kernel, strict=True)):
        return None, strides, dilations, before
    sides = [side for pair in list(zip(before, behind, strict=True))[::-1] for side in pair]
    padding = nn.ConstantPad2d(sides, value) if count == 2 else nn.ConstantPad1d(sides, value)  # type: ignore[arg-type]
    return padding, strides, dilations, none


def _after(padding: nn.Module | None, module: nn.Module) -> nn.Module:
    return module if padding is None else nn.Sequential(padding, module)


def convolution(node: Node) -> Converted:
    """A convolution of one or two dimensions with constant weights."""
    weight = node.tensor(1)
    groups = node.attributes.get("group", 1)
    padding, strides, dilations, pads = _window(node, list(weight.shape[2:]), 0.0, (1, 2))
    bias = node.tensor(2) if node.has(2) else None
    channels = weight.shape[1] * groups, weight.shape[0]
    kind = nn.Conv2d if len(strides) == 2 else nn.Conv1d
    module = kind(*channels, weight.shape[2:], strides, pads, dilations, groups, bias is not None)  # type: ignore[arg-type]
    hold(module, weight, bias)
    return _after(padding, module), (0,)


def transposed_convolution(node: Node) -> Converted:
    """A transposed one, of two dimensions."""
    weight = node.tensor(1)
    groups = node.attributes.get("group", 1)
    if weight.ndim != 4:
        raise node.refuse(f"is converted in 2 dimensions only, found {weight.ndim - 2}")
    strides = list(node.attributes.get("strides", [1, 1]))
    bias = node.tensor(2) if node.has(2) else None
    automatic = node.attributes.get("auto_pad", b"NOTSET").decode()
    pads = list(node.attributes.get("pads", [0] * 4)) if automatic == "NOTSET" else [0] * 4
    shape = node.attributes.get("output_shape")
    if shape is None and automatic.startswith("SAME"):
        shape = [0, 0]
    symmetric = shape is None and pads[:2] == pads[2:]
    module = nn.ConvTranspose2d(
        weight.shape[0],
        weight.shape[1] * groups,
        weight.shape[2:],  # type: ignore[arg-type]
        strides,  # type: ignore[arg-type]
        pads[:2] if symmetric else 0,  # type: ignore[arg-type]
        node.attributes.get("output_padding", [0, 0]),
        groups,
        bias is not None,
        node.attributes.get("dilations", [1, 1]),
    )
    hold(module, weight, bias)
    if symmetric:
        return module, (0,)
    return Cropped(module, None if shape is None else list(shape)[-2:], pads, automatic == "SAME_UPPER"), (0,)


def hold(module: nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear, weight: Tensor, bias: Tensor | None) -> None:
    """Give a layer weights that are there."""
    module.weight = nn.Parameter(weight)
    if bias is not None:
        module.bias = nn.Parameter(bias)


def max_pool(node: Node) -> Converted:
    """Max-pooling, without its indices."""
    kernel = list(node.attributes["kernel_shape"])
    if node.read - {0}:
        raise node.refuse("is converted without its indices only")
    padding, strides, dilations, pads = _window(node, kernel, -math.inf)
    ceil = bool(node.attributes.get("ceil_mode", 0))
    return _after(padding, nn.MaxPool2d(kernel, strides, pads, dilations, ceil_mode=ceil)), (0,)  # type: ignore[arg-type]


def average_pool(node: Node) -> Converted:
    """Average-pooling."""
    kernel = list(node.attributes["kernel_shape"])
    padding, strides, dilations, pads = _window(node, kernel, 0.0)
    counts = bool(node.attributes.get("count_include_pad", 0))
    if dilations != [1, 1]:
        raise node.refuse("is converted without dilation only")
    pool = nn.AvgPool2d(kernel, strides, pads, bool(node.attributes.get("ceil_mode", 0)), counts)  # type: ignore[arg-type]
    if padding is not None and not counts:
        return CountedAverage(padding, pool), (0,)
    return _after(padding, pool), (0,)
