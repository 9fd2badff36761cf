"""Resampling as ONNX defines it: a product with a matrix of weights on either side, whatever its many settings."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medxgan.training.networks.onnx_node import Converted, Function, Node

COORDINATES = (
    "half_pixel",
    "pytorch_half_pixel",
    "half_pixel_symmetric",
    "tf_half_pixel_for_nn",
    "align_corners",
    "asymmetric",
)
MODES = ("nearest", "linear", "cubic")


def resize(node: Node) -> Converted:
    """Resize of any axes but the batch."""
    mode = node.attributes.get("mode", b"nearest").decode()
    coordinates = node.attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    if node.opset < 11:
        coordinates = "asymmetric"
    if mode not in MODES or coordinates not in COORDINATES:
        raise node.refuse(f"is converted as {', '.join(MODES)} with {', '.join(COORDINATES)} only")
    if node.attributes.get("antialias", 0):
        raise node.refuse("is converted without antialias only")
    if node.attributes.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        raise node.refuse("is converted with the policy stretch only")
    settings = {
        "mode": mode,
        "coordinates": coordinates,
        "rounding": node.attributes.get(
            "nearest_mode", b"round_prefer_floor" if node.opset >= 11 else b"floor"
        ).decode(),
        "cubic": node.attributes.get("cubic_coeff_a", -0.75),
        "inside": bool(node.attributes.get("exclude_outside", 0)),
        "axes": node.attributes.get("axes"),
    }
    scales, sizes = (1, None) if node.opset < 11 else (2, 3)
    if sizes is not None and node.has(sizes):
        return _resample(node, sizes, "sizes", settings)
    return _resample(node, scales, "scales", settings)


def upsample(node: Node) -> Converted:
    """Resize's predecessor."""
    mode = node.attributes.get("mode", b"nearest").decode()
    settings = {
        "mode": mode,
        "coordinates": "asymmetric",
        "rounding": "floor",
        "cubic": -0.75,
        "inside": False,
        "axes": None,
    }
    if "scales" in node.attributes:
        scales = list(node.attributes["scales"])
        return Function(lambda x: _resampled(x, None, scales, settings)), (0,)
    return _resample(node, 1, "scales", settings)


def _resample(node: Node, position: int, kind: str, settings: dict[str, Any]) -> Converted:
    def resample(x: Tensor, stated: Any) -> Tensor:
        stated = stated.tolist() if isinstance(stated, Tensor) else stated
        return _resampled(x, stated if kind == "sizes" else None, stated if kind == "scales" else None, settings)

    if position in node.constants:
        stated = node.array(position).tolist()
        return Function(lambda x: resample(x, stated)), (0,)
    return Function(resample), (0, position)


def _resampled(
    x: Tensor, sizes: Sequence[Any] | None, scales: Sequence[float] | None, settings: dict[str, Any]
) -> Tensor:
    stated = sizes if sizes is not None else scales
    axes = settings["axes"] if settings["axes"] is not None else list(range(x.ndim))
    if stated is None or len(stated) != len(axes):
        raise ValueError(f"expected a size or a scale for each of {len(axes)} axes")
    for axis, value in zip((axis % x.ndim for axis in axes), stated, strict=True):
        if axis == 0:
            # A file made for one picture at a time states its batch here.
            if scales is not None and value != 1:
                raise ValueError("the number of pictures can't be changed")
            continue
        size = x.shape[axis]
        wanted = int(value) if sizes is not None else math.floor(np.float32(size) * np.float32(value))
        scale = wanted / size if sizes is not None else float(value)
        if (wanted, scale) == (size, 1.0):
            continue
        weights = torch.tensor(_weights(size, wanted, scale, settings), dtype=x.dtype, device=x.device)
        x = weights @ x if axis == x.ndim - 2 else (x.movedim(axis, -1) @ weights.T).movedim(-1, axis)
    return x


def _weights(size: int, wanted: int, scale: float, settings: dict[str, Any]) -> list[list[float]]:
    """[wanted, size]: what each pixel of the result takes of each along one axis."""
    rows = []
    for index in range(wanted):
        place = _place(index, size, wanted, scale, settings["coordinates"])
        row = [0.0] * size
        if settings["mode"] == "nearest":
            row[min(max(_rounded(place, settings["rounding"]), 0), size - 1)] = 1.0
        else:
            left = math.floor(place)
            share = place - left
            taps = _linear(share) if settings["mode"] == "linear" else _cubic(share, settings["cubic"])
            first = left - len(taps) // 2 + 1
            inside = [0 <= first + tap < size or not settings["inside"] for tap in range(len(taps))]
            total = sum(weight for weight, counts in zip(taps, inside, strict=True) if counts)
            for tap, (weight, counts) in enumerate(zip(taps, inside, strict=True)):
                if counts:
                    row[min(max(first + tap, 0), size - 1)] += weight / total
        rows.append(row)
    return rows


def _place(index: int, size: int, wanted: int, scale: float, coordinates: str) -> float:
    """Where a pixel of the result lies in the original, in single precision: what is then rounded depends on it."""
    step, place, half = np.float32(scale), np.float32(index), np.float32(0.5)
    match coordinates:
        case "align_corners":
            return float(place * np.float32(size - 1) / np.float32(wanted - 1)) if wanted > 1 else 0.0
        case "asymmetric":
            return float(place / step)
        case "tf_half_pixel_for_nn":
            return float((place + half) / step)
        case "pytorch_half_pixel" if wanted <= 1:
            return 0.0
        case "half_pixel_symmetric":
            offset = size / 2 * (1 - wanted / (scale * size))
            return offset + (index + 0.5) / scale - 0.5
        case _:
            return float((place + half) / step - half)


def _rounded(place: float, rounding: str) -> int:
    match rounding:
        case "floor":
            return math.floor(place)
        case "ceil":
            return math.ceil(place)
        case "round_prefer_ceil":
            return math.floor(place + 0.5)
        case _:
            return math.ceil(place - 0.5)


def _linear(share: float) -> list[float]:
    return [1 - share, share]


def _cubic(share: float, a: float) -> list[float]:
    """Keys' kernel at the four nearest pixels."""

    def near(t: float) -> float:
        return ((a + 2) * t - (a + 3)) * t * t + 1

    def far(t: float) -> float:
        return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a

    return [far(1 + share), near(share), near(1 - share), far(2 - share)]
