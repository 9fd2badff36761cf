"""Padding as ONNX has it: of any axes but the batch, with a number or with what lies at the borders."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medxgan.training.networks.onnx_node import Converted, Function, Node, Rearranged

MODES = ("constant", "reflect", "edge", "wrap")


def pad(node: Node) -> Converted:
    """Padding, and cropping where a number is negative."""
    mode = node.attributes.get("mode", b"constant").decode()
    if mode not in MODES:
        raise node.refuse(f"is converted as {', '.join(MODES)} only, found {mode}")
    pads: list[int] = node.setting("pads", 1)
    count = len(pads) // 2
    axes = np.asarray(node.array(3)).tolist() if node.has(3) else list(range(count))
    sides = {axis: (pads[place], pads[place + count]) for place, axis in enumerate(axes)}
    if sides.get(0, (0, 0)) != (0, 0):
        raise node.refuse("is converted for all axes but the batch")
    if mode == "constant":
        value = float(np.asarray(node.setting("value", 2) or 0.0).reshape(-1)[0])
        return _constant(sides, value), (0,)

    def extend(x: Tensor) -> Tensor:
        for axis, (before, behind) in sides.items():
            if (before, behind) != (0, 0):
                x = _extended(x, axis % x.ndim, before, behind, mode)
        return x

    return Rearranged(extend), (0,)


def _constant(sides: dict[int, tuple[int, int]], value: float) -> nn.Module:
    if [*sides] == list(range(4)) and sides[1] == (0, 0):
        return nn.ConstantPad2d((*sides[3], *sides[2]), value)

    def fill(x: Tensor) -> Tensor:
        own = {axis % x.ndim: each for axis, each in sides.items()}
        ordered = [side for axis in reversed(range(x.ndim)) for side in own.get(axis, (0, 0))]
        return F.pad(x, ordered, value=value)

    return Function(fill)


def _extended(x: Tensor, axis: int, before: int, behind: int, mode: str) -> Tensor:
    """Along one axis, by parts of x: their gradients have a form in every runtime."""
    size = x.shape[axis]
    if mode == "edge":
        first, last = x.narrow(axis, 0, 1), x.narrow(axis, size - 1, 1)
        parts = [*[first] * before, x, *[last] * behind]
    elif mode == "wrap":
        parts = [x.narrow(axis, size - before, before), x, x.narrow(axis, 0, behind)]
    else:
        parts = [
            x.narrow(axis, 1, before).flip(axis) if before > 0 else x.narrow(axis, 0, 0),
            x,
            x.narrow(axis, size - 1 - behind, behind).flip(axis) if behind > 0 else x.narrow(axis, 0, 0),
        ]
    if min(before, behind) < 0:
        raise ValueError(f"is converted to cut off with the mode constant only, found {mode}")
    return torch.cat([part for part in parts if part.shape[axis]], axis)
