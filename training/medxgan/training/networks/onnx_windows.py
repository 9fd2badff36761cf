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


def _window(node: Node, kernel: list[int], value: float) -> tuple[nn.Module | None, list[int], list[int], list[int]]:
    """A padding to do first, where the operator can't do it itself, and strides, dilations, symmetric padding."""
    if len(kernel) != 2:
        raise node.refuse(f"is converted in 2 dimensions only, found {len(kernel)}")
    strides = list(node.attributes.get("strides", [1, 1]))
    dilations = list(node.attributes.get("dilations", [1, 1]))
    automatic = node.attributes.get("auto_pad", b"NOTSET").decode()
    if automatic.startswith("SAME"):
        return SamePadding(kernel, strides, dilations, automatic == "SAME_UPPER", value), strides, dilations, [0, 0]
    top, left, bottom, right = node.attributes.get("pads", [0, 0, 0, 0]) if automatic == "NOTSET" else [0, 0, 0, 0]
    if (top, left) == (bottom, right):
        return None, strides, dilations, [top, left]
    return nn.ConstantPad2d((left, right, top, bottom), value), strides, dilations, [0, 0]


def _after(padding: nn.Module | None, module: nn.Module) -> nn.Module:
    return module if padding is None else nn.Sequential(padding, module)


def convolution(node: Node) -> Converted:
    """A convolution of two dimensions with constant weights."""
    weight = node.tensor(1)
    groups = node.attributes.get("group", 1)
    padding, strides, dilations, pads = _window(node, list(weight.shape[2:]), 0.0)
    bias = node.tensor(2) if node.has(2) else None
    channels = weight.shape[1] * groups, weight.shape[0]
    module = nn.Conv2d(*channels, weight.shape[2:], strides, pads, dilations, groups, bias is not None)  # type: ignore[arg-type]
    hold(module, weight, bias)
    return _after(padding, module), (0,)


def transposed_convolution(node: Node) -> Converted:
    """A transposed one."""
    weight = node.tensor(1)
    groups = node.attributes.get("group", 1)
    if "output_shape" in node.attributes or node.attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise node.refuse("is converted with explicit pads only")
    padding, strides, dilations, pads = _window(node, list(weight.shape[2:]), 0.0)
    if padding is not None:
        raise node.refuse("is converted with symmetric pads only")
    bias = node.tensor(2) if node.has(2) else None
    module = nn.ConvTranspose2d(
        weight.shape[0],
        weight.shape[1] * groups,
        weight.shape[2:],  # type: ignore[arg-type]
        strides,  # type: ignore[arg-type]
        pads,  # type: ignore[arg-type]
        node.attributes.get("output_padding", [0, 0]),
        groups,
        bias is not None,
        dilations,  # type: ignore[arg-type]
    )
    hold(module, weight, bias)
    return module, (0,)


def hold(module: nn.Conv2d | nn.ConvTranspose2d | nn.Linear, weight: Tensor, bias: Tensor | None) -> None:
    """Give a layer weights that are there."""
    module.weight = nn.Parameter(weight)
    if bias is not None:
        module.bias = nn.Parameter(bias)


def max_pool(node: Node) -> Converted:
    """Max-pooling, without its indices."""
    kernel = list(node.attributes["kernel_shape"])
    if node.outputs > 1:
        raise node.refuse("is converted without its indices only")
    padding, strides, dilations, pads = _window(node, kernel, -math.inf)
    ceil = bool(node.attributes.get("ceil_mode", 0))
    return _after(padding, nn.MaxPool2d(kernel, strides, pads, dilations, ceil_mode=ceil)), (0,)  # type: ignore[arg-type]


def average_pool(node: Node) -> Converted:
    """Average-pooling."""
    kernel = list(node.attributes["kernel_shape"])
    padding, strides, dilations, pads = _window(node, kernel, 0.0)
    counts = bool(node.attributes.get("count_include_pad", 0))
    if dilations != [1, 1] or (padding is not None and not counts):
        raise node.refuse("is converted without dilation, and with unequal pads only where they are counted")
    ceil = bool(node.attributes.get("ceil_mode", 0))
    return _after(padding, nn.AvgPool2d(kernel, strides, pads, ceil, counts)), (0,)  # type: ignore[arg-type]


def pad(node: Node) -> Converted:
    """Padding of height and width."""
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(
        node.attributes.get("mode", b"constant").decode()
    )
    pads: list[int] = node.setting("pads", 1)
    if mode is None or node.has(3) or len(pads) != 8 or any(pads[:2]) or any(pads[4:6]):
        raise node.refuse("is converted for height and width of [B, C, H, W] only, as constant, reflect or edge")
    (top, left), (bottom, right) = pads[2:4], pads[6:8]
    value = node.setting("value", 2) or 0.0
    if mode == "constant":
        return nn.ConstantPad2d((left, right, top, bottom), value), (0,)
    kind = nn.ReflectionPad2d if mode == "reflect" else nn.ReplicationPad2d
    return kind((left, right, top, bottom)), (0,)
