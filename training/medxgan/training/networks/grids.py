"""How what a layer gives lies over the picture, and the same as [B, C, h, w], which all that looks at it expects.

Convolutional networks give [B, C, H, W]. Others have their channels last ([B, H, W, C]: Swin) or give a row of tokens
([B, N, C]: ViT), of which one or more may come first and stand for the whole picture. A shape alone does not always
tell which: what can't be told surely is not guessed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

Layout = Literal["channels_first", "channels_last", "tokens"]

AXES: dict[Layout, int] = {"channels_first": 4, "channels_last": 4, "tokens": 3}
"""Axes of a tensor of each layout."""

CHANNELS_FIRST: tuple[type[nn.Module], ...] = (
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.BatchNorm2d,
    nn.InstanceNorm2d,
    nn.GroupNorm,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)
"""Modules that take and give [B, C, H, W], of four axes."""

CHANNELS_LAST: tuple[type[nn.Module], ...] = (nn.Linear, nn.LayerNorm)
"""Modules whose last axis is that of the channels. Classes made of these may do otherwise (LayerNorm2d)."""


@dataclass(frozen=True)
class Grid:
    """The places of a layer's output.

    Attributes:
        layout: order of its axes.
        height: places from top to bottom.
        width: places from left to right.
        leading: tokens before those of the places: a class token, registers.
    """

    layout: Layout
    height: int
    width: int
    leading: int = 0

    def map_of(self, activations: Tensor) -> Tensor:
        """[B, C, h, w] of what the layer gives, or of its gradient; leading tokens are left out."""
        if self.layout == "channels_last":
            return activations.permute(0, 3, 1, 2)
        if self.layout == "tokens":
            tokens = activations[:, self.leading :].transpose(1, 2)
            return tokens.reshape(*tokens.shape[:2], self.height, self.width)
        return activations

    def channels(self, shape: Sequence[int]) -> int:
        """C of the layer's output."""
        return shape[1] if self.layout == "channels_first" else shape[-1]


@dataclass(frozen=True)
class Seen:
    """A module, and the shape [B, ...] of what it gave for square pictures."""

    module: nn.Module
    shape: tuple[int, ...]


def grids_of(seen: Sequence[Seen], leading: int | None = None, layout: Layout | None = None) -> list[Grid | None]:
    """The grid of each layer, or None where it can't be told.

    Of four axes a module's own class tells, or that a picture is as wide as high and not as many channels deep. Of
    three axes it is told by a grid of as many places, as that of the convolution which cuts a picture into patches. A
    network with tokens has other tensors of four axes than pictures (attention): there, too, the grid has to be known.

    Args:
        seen: the layers.
        leading: number of tokens before those of the places, where the network says it; else it may be none or one.
        layout: of all layers with as many axes as it.
    """
    if layout is not None:
        return [_as(each.shape, layout, leading) for each in seen]
    sure = [_by_class(each) for each in seen]
    places = {(grid.height, grid.width) for grid in sure if grid is not None}
    tokens = any(len(each.shape) == AXES["tokens"] for each in seen)
    found = [grid or _by_shape(each.shape, places if tokens else None) for each, grid in zip(seen, sure, strict=True)]
    # A network without tokens, and without channels that come last, has them first throughout.
    if not tokens and {grid.layout for grid in found if grid is not None} == {"channels_first"}:
        return [grid or _as(each.shape, "channels_first", None) for each, grid in zip(seen, found, strict=True)]
    return [grid or _tokens(each.shape, places, leading) for each, grid in zip(seen, found, strict=True)]


def stated_grid(shape: Sequence[int], layout: Layout | None) -> str:
    """Why a shape has no grid, in words that follow it."""
    if layout is not None:
        if len(shape) != AXES[layout]:
            return f"is not of the layout {layout}"
        return "is no square grid of tokens, with or without a class token"
    if len(shape) == AXES["tokens"]:
        if _squared(shape[1]) is None and _squared(shape[1] - 1) is None:
            return "is no square grid of tokens, with or without a class token"
        return 'is not surely a grid of tokens: if it is, say layout = "tokens"'
    return 'does not show where its channels are: say layout = "channels_first" or "channels_last"'


def _as(shape: Sequence[int], layout: Layout, leading: int | None) -> Grid | None:
    """The grid of a stated layout, where the shape has it."""
    if len(shape) != AXES[layout]:
        return None
    if layout == "channels_first":
        return Grid(layout, shape[2], shape[3])
    if layout == "channels_last":
        return Grid(layout, shape[1], shape[2])
    for before in _possible(leading):
        if (side := _squared(shape[1] - before)) is not None:
            return Grid(layout, side, side, before)
    return None


def _by_class(seen: Seen) -> Grid | None:
    if len(seen.shape) != AXES["channels_first"]:
        return None
    _, first, second, third = seen.shape
    if isinstance(seen.module, CHANNELS_FIRST):
        return Grid("channels_first", second, third)
    if type(seen.module) in CHANNELS_LAST and first == second:
        return Grid("channels_last", first, second)
    return None


def _by_shape(shape: Sequence[int], places: set[tuple[int, int]] | None) -> Grid | None:
    if len(shape) != AXES["channels_first"]:
        return None
    _, first, second, third = shape
    grid = None
    if second == third != first:
        grid = Grid("channels_first", second, third)
    elif first == second != third:
        grid = Grid("channels_last", first, second)
    return grid if grid is None or places is None or (grid.height, grid.width) in places else None


def _tokens(shape: Sequence[int], places: set[tuple[int, int]], leading: int | None) -> Grid | None:
    if len(shape) != AXES["tokens"]:
        return None
    sizes = {height * width for height, width in places if height == width > 1}
    for before in _possible(leading):
        # Where channels are as many as places, either axis may be the one of the tokens.
        if shape[1] - before in sizes and not any(shape[2] - other in sizes for other in _possible(leading)):
            return _as(shape, "tokens", before)
    return None


def _possible(leading: int | None) -> tuple[int, ...]:
    return (0, 1) if leading is None else (leading, 0)


def _squared(places: int) -> int | None:
    """The side of a square of so many places, where there is one of more than one place."""
    side = math.isqrt(max(places, 0))
    return side if side > 1 and side * side == places else None
