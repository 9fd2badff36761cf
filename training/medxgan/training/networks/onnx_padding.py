"""Padding as ONNX has it: of any axes but the batch, with a number or with what lies at the borders."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medxgan.training.networks.onnx_node import Converted, Node, Rearranged

MODES = ("constant", "reflect", "edge", "wrap")


def pad(node: Node) -> Converted:
    """Padding, and cropping where a number is negative."""
    mode = node.attributes.get("mode", b"constant").decode()
    if mode not in MODES:
        raise node.refuse(f"is converted as {', '.join(MODES)} only, found {mode}")
    axes = np.asarray(node.array(3)).reshape(-1).tolist() if node.has(3) else None
    value = float(np.asarray(node.setting("value", 2) or 0.0).reshape(-1)[0])
    if "pads" not in node.attributes and 1 not in node.constants:

        def as_computed(x: Tensor, pads: list[int]) -> Tensor:
            sides = _sides(pads, axes)
            if sides.get(0, (0, 0)) != (0, 0):
                raise ValueError("is converted for all axes but the batch")
            return _padded(x, sides, mode, value)

        return Rearranged(as_computed), (0, 1)
    sides = _sides(node.setting("pads", 1), axes)
    if sides.get(0, (0, 0)) != (0, 0):
        raise node.refuse("is converted for all axes but the batch")
    if mode == "constant" and [*sides] == list(range(4)) and sides[1] == (0, 0):
        return nn.ConstantPad2d((*sides[3], *sides[2]), value), (0,)
    return Rearranged(lambda x: _padded(x, sides, mode, value)), (0,)


def _sides(pads: list[int], axes: list[int] | None) -> dict[int, tuple[int, int]]:
    """What comes before and behind, by axis."""
    count = len(pads) // 2
    return {
        axis: (pads[place], pads[place + count]) for place, axis in enumerate(range(count) if axes is None else axes)
    }


def _padded(x: Tensor, sides: dict[int, tuple[int, int]], mode: str, value: float) -> Tensor:
    own = {axis % x.ndim: each for axis, each in sides.items() if each != (0, 0)}
    if mode == "constant":
        ordered = [side for axis in reversed(range(x.ndim)) for side in own.get(axis, (0, 0))]
        return F.pad(x, ordered, value=value)
    for axis, (before, behind) in own.items():
        x = _extended(x, axis, before, behind, mode)
    return x


def _extended(x: Tensor, axis: int, before: int, behind: int, mode: str) -> Tensor:
    """Along one axis, by parts of x: their gradients have a form in every runtime."""
    if min(before, behind) < 0:
        raise ValueError(f"is converted to cut off with the mode constant only, found {mode}")
    size = x.shape[axis]
    if mode == "edge":
        parts = [*[x.narrow(axis, 0, 1)] * before, x, *[x.narrow(axis, size - 1, 1)] * behind]
    elif mode == "wrap":
        parts = [x.narrow(axis, size - before, before), x, x.narrow(axis, 0, behind)]
    else:
        parts = [x]
        if before:
            parts.insert(0, x.narrow(axis, 1, before).flip(axis))
        if behind:
            parts.append(x.narrow(axis, size - 1 - behind, behind).flip(axis))
    return torch.cat([part for part in parts if part.shape[axis]], axis)
