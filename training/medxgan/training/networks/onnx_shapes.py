"""ONNX operators that give the shape of a tensor, change it, and pick or join parts.

A shape is a list of integers, as `onnx_arithmetic` has it; a table of pads is a list of lists.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from medxgan.training.networks.onnx_arithmetic import as_tensor, each
from medxgan.training.networks.onnx_node import Conversion, Converted, Function, Node, Rearranged

FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})
"""Types that all become float32."""

INTEGERS = frozenset(
    {TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64}
    | {TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64}
)
"""Types that all become int64."""


def _shape(node: Node) -> Converted:
    start, end = node.attributes.get("start", 0), node.attributes.get("end")

    def shape(x: Any) -> list[Any]:
        whole = list(x.shape) if isinstance(x, Tensor) else [len(x)] if isinstance(x, list) else []
        return whole[start:end]

    return Function(shape), (0,)


def _size(x: Any) -> Any:
    return math.prod(x.shape) if isinstance(x, Tensor) else len(x)


def _objects(x: Any) -> NDArray[Any]:
    """A number, or lists of them in lists, as an array of what they are: the batch's extent may be a symbol."""
    return np.array(x, dtype=object)


def _reshape(node: Node) -> Converted:
    def reshape(x: Any, shape: list[Any]) -> Any:
        if not isinstance(x, Tensor):
            return _objects(x).reshape(shape).tolist()
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
        return x.reshape(sizes)

    def rows(x: Any, shape: list[Any]) -> list[Any]:
        """What a file made for one picture, or for so many, says of them, said of any number."""
        if not isinstance(x, Tensor) or 0 in node.constants or len(shape) < 2:  # a constant has no batch
            return shape
        if node.fixed_batch and all(isinstance(size, int) and size > 0 for size in shape):
            # The batch comes first, be it alone or with what was cut out of its pictures (windows, heads).
            return [-1, *shape[1:]]
        return [0, *shape[1:]] if fixed and shape[0] == 1 else shape

    fixed = 1 in node.constants
    if fixed:
        stated = node.constants[1].tolist()
        return Rearranged(lambda x: reshape(x, rows(x, stated))), (0,)
    return Rearranged(lambda x, shape: reshape(x, rows(x, shape))), (0, 1)


def _flatten(node: Node) -> Converted:
    axis = node.attributes.get("axis", 1)
    if axis == 1:
        return nn.Flatten(), (0,)
    if axis == 0:
        raise node.refuse("with axis 0 makes one row of all pictures of a batch")

    def flatten(x: Tensor) -> Tensor:
        if axis % x.ndim == 0 and axis < 0:
            raise ValueError("with axis 0 makes one row of all pictures of a batch")
        return x.reshape(-1, math.prod(x.shape[axis:]))

    return Rearranged(flatten), (0,)


def _squeeze(node: Node) -> Converted:
    axes = node.setting("axes", 1)

    def squeeze(x: Any) -> Any:
        if isinstance(x, Tensor):
            # Without stated axes, all but the batch that have one place.
            return x.squeeze(tuple(axes or [axis for axis in range(1, x.ndim) if x.shape[axis] == 1]))
        return x[0] if isinstance(x, list) else x

    return Rearranged(squeeze), (0,)


def _unsqueeze(node: Node) -> Converted:
    axes = node.setting("axes", 1)
    axes = [axes] if isinstance(axes, int) else axes

    def unsqueeze(x: Any) -> Any:
        if not isinstance(x, Tensor):
            if isinstance(x, list):
                x = torch.tensor(x)
            else:
                return [x]
        rank = x.ndim + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            x = x.unsqueeze(axis)
        return x

    return Rearranged(unsqueeze), (0,)


def _transpose(node: Node) -> Converted:
    axes = node.attributes.get("perm")

    def transpose(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return _objects(x).transpose(axes).tolist()
        return x.permute(axes or list(range(x.ndim))[::-1])

    return Rearranged(transpose), (0,)


def _concatenate(node: Node) -> Converted:
    axis = node.attributes["axis"]
    computed = [position for position in range(len(node.inputs)) if position not in node.constants]

    def concatenate(*parts: Any) -> Any:
        like = next((part for part in parts if isinstance(part, Tensor)), None)
        if like is not None:
            tensors = [as_tensor(part, like) for part in parts]
            if axis % like.ndim:
                # What a file holds for one picture (a class token) is that of each.
                rows = next(tensors[place].shape[0] for place in computed)
                tensors = [
                    each.expand(rows, *each.shape[1:]) if place not in computed and each.shape[0] == 1 else each
                    for place, each in enumerate(tensors)
                ]
            return torch.cat(tensors, axis)
        return [size for part in parts for size in part]

    return Function(concatenate), tuple(range(len(node.inputs)))


def _gather(node: Node) -> Converted:
    axis = node.attributes.get("axis", 0)

    def gather(x: Any, indices: Any) -> Any:
        if isinstance(x, list):
            if isinstance(indices, Tensor):
                indices = indices.tolist()
            return [x[index] for index in indices] if isinstance(indices, list) else x[indices]
        if isinstance(indices, int):
            return x.select(axis, indices)
        positions = indices if isinstance(indices, Tensor) else torch.tensor(indices, device=x.device)
        along = axis % x.ndim
        positions = torch.where(positions < 0, positions + x.shape[along], positions)
        picked = x.index_select(along, positions.flatten())
        return picked.reshape([*x.shape[:along], *positions.shape, *x.shape[along + 1 :]])

    return Rearranged(gather), (0, 1)


def _slice(node: Node) -> Converted:
    def cut(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
        starts, ends = (value if isinstance(value, list) else [value] for value in (starts, ends))
        axes, steps = axes or list(range(len(starts))), steps or [1] * len(starts)
        if isinstance(x, list):
            numbers = _objects(x)
            ranges = [slice(None)] * numbers.ndim
            for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
                ranges[axis] = slice(start, _end(end, step), step)
            return numbers[tuple(ranges)].tolist()
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            if step < 0:
                # What is read backwards is turned round first.
                size = x.shape[axis]
                x, step = x.flip(axis), -step
                start, end = ((size - 1 - _from_start(place, size)) for place in (start, end))
            x = torch.ops.aten.slice(x, axis, start, end, step)
        return x

    if "starts" in node.attributes:
        stated = [node.attributes.get(name) for name in ("starts", "ends", "axes")]
        return Rearranged(lambda x: cut(x, *stated)), (0,)
    given = [position for position in range(1, len(node.inputs)) if node.has(position)]
    names = {1: "starts", 2: "ends", 3: "axes", 4: "steps"}
    if all(position in node.constants for position in given):
        constants = {names[position]: node.setting("", position) for position in given}
        return Rearranged(lambda x: cut(x, **constants)), (0,)
    keys = [names[position] for position in given]
    return Rearranged(lambda x, *values: cut(x, **dict(zip(keys, values, strict=True)))), (0, *given)


def _end(end: int, step: int) -> int | None:
    """Of a list: beyond its start there is nothing more, and -1 would be its last."""
    return None if step < 0 and end < -(2**31) else end


def _from_start(place: int, size: int) -> int:
    """A place as counted from the start: -1 is just before it, where a backwards slice may end."""
    if place < 0:
        return max(place + size, -1)
    return min(place, size - 1)


def _split(node: Node) -> Converted:
    axis, sizes = node.attributes.get("axis", 0), node.setting("split", 1)

    def split(x: Any) -> tuple[Any, ...]:
        if isinstance(x, list):
            bounds = [sum(sizes[:count]) for count in range(len(sizes) + 1)] if sizes else range(len(x) + 1)
            return tuple(x[first:last] for first, last in itertools.pairwise(bounds))
        return torch.split(x, sizes or math.ceil(x.shape[axis] / node.outputs), axis)

    return Rearranged(split), (0,)


def _cast(node: Node) -> Converted:
    kind = node.attributes["to"]
    if kind in FLOATS:
        return Rearranged(lambda x: x.float() if isinstance(x, Tensor) else each(_as_float, x)), (0,)
    if kind in INTEGERS:
        return Function(lambda x: x.to(torch.int64) if isinstance(x, Tensor) else each(_as_integer, x)), (0,)
    if kind == TensorProto.BOOL:
        return Function(lambda x: x != 0 if isinstance(x, Tensor) else each(bool, x)), (0,)
    raise node.refuse(f"is converted to numbers only, found {TensorProto.DataType.Name(kind)}")


def _as_float(number: Any) -> Any:
    # The batch's extent may be a symbol, which PyTorch makes a number of in its own time.
    return float(number) if isinstance(number, int | float) else number


def _as_integer(number: Any) -> Any:
    return int(number) if isinstance(number, int | float) else number


def _cast_like(x: Any, like: Any) -> Any:
    return x.to(like.dtype) if isinstance(x, Tensor) and isinstance(like, Tensor) else x


def _expand(x: Any, shape: list[Any]) -> Any:
    if not isinstance(x, Tensor):
        if len(shape) > 1 or not all(isinstance(size, int) for size in shape):
            x = torch.tensor(x)
        else:
            return x if isinstance(x, list) and len(x) == shape[0] else (x if isinstance(x, list) else [x]) * shape[0]
    missing = max(0, len(shape) - x.ndim)
    own = [1] * missing + list(x.shape)
    wanted = [1] * (len(own) - len(shape)) + list(shape)
    # An extent of 1 is that of the other side.
    sizes = [b if isinstance(a, int) and a == 1 else a for a, b in zip(own, wanted, strict=True)]
    return x.expand(sizes)


def _constant_of_shape(node: Node) -> Converted:
    value = node.attributes.get("value")
    number = 0.0 if value is None else numpy_helper.to_array(value).reshape(-1)[0].item()

    def fill(shape: list[Any]) -> Any:
        if isinstance(number, int | bool) and len(shape) == 1 and isinstance(shape[0], int):
            return [number] * shape[0]
        return torch.full(shape, number, dtype=torch.float32 if isinstance(number, float) else None)

    return Function(fill), (0,)


def _range(start: Any, limit: Any, step: Any) -> Any:
    if all(isinstance(value, int) for value in (start, limit, step)):
        return list(range(start, limit, step))
    # A batch's extent stays a symbol.
    first, last, pace = (value.item() if isinstance(value, Tensor) else value for value in (start, limit, step))
    return torch.arange(first, last, pace)


def _tile(x: Any, repeats: list[Any]) -> Any:
    return x.repeat(repeats) if isinstance(x, Tensor) else x * repeats[0]


def _depth_to_space(node: Node) -> Converted:
    block = node.attributes["blocksize"]
    if node.attributes.get("mode", b"DCR") == b"CRD":
        return nn.PixelShuffle(block), (0,)

    def spread(x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        parts = x.reshape(batch, block, block, channels // block**2, height, width).permute(0, 3, 4, 1, 5, 2)
        return parts.reshape(batch, channels // block**2, height * block, width * block)

    return Rearranged(spread), (0,)


def _space_to_depth(node: Node) -> Converted:
    block = node.attributes["blocksize"]

    def gathered(x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        parts = x.reshape(batch, channels, height // block, block, width // block, block).permute(0, 3, 5, 1, 2, 4)
        return parts.reshape(batch, channels * block**2, height // block, width // block)

    return Rearranged(gathered), (0,)


def _einsum(node: Node) -> Converted:
    equation = node.attributes["equation"].decode()
    return Function(lambda *values: torch.einsum(equation, *values)), tuple(range(len(node.inputs)))


def _all_inputs(module: type[Function], function: Callable[..., Any]) -> Conversion:
    return lambda node: (module(function), tuple(range(len(node.inputs))))


SHAPE_OPERATORS: dict[str, Conversion] = {
    "Cast": _cast,
    "CastLike": _all_inputs(Rearranged, _cast_like),
    "Concat": _concatenate,
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _depth_to_space,
    "Einsum": _einsum,
    "Expand": _all_inputs(Rearranged, _expand),
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": lambda _: (nn.Identity(), (0,)),
    "Range": _all_inputs(Function, _range),
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _all_inputs(Function, _size),
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _all_inputs(Rearranged, _tile),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""Operators of shapes, and of tensors."""
