"""A film at the size of x, made where the film was read: what a model's OPEN graph does first.

A film of 48 million pixels takes hundreds of megabytes in the graph, x a few hundred kilobytes. So the resize of
`Preprocess` (in the training room) is done here too, by the same operations on float32, but some rows at a time. Given
the result, a picture of the size of x with square pixels, the graph's own resize changes nothing. The server compares
both ways when it starts a model, and reduces no film of one whose graph does otherwise.

Padding has no part in a reduced film: a pixel of x is made of the pixels that are none.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medxgan.server.images.contrast import Percentiles, without_padding
from medxgan.server.images.film import Film, Reduced

Aspect = Literal["crop", "pad", "stretch"]
FloatArray = NDArray[np.float32]

_LEAST_SHARE = np.float32(0.5)
"""A pixel of x is padding where half of what it is made of or more is."""


@dataclass(frozen=True)
class Reduction:
    """How a model sees films.

    Attributes:
        side: side S of x, in pixels.
        aspect: what is done with another aspect ratio: "crop" keeps the largest centred square, "pad" fills the
            shorter side up with the darkest level, "stretch" scales both sides on their own.
        percentiles: of the pixels of x, between which the model takes its window.
    """

    side: int
    aspect: Aspect
    percentiles: Percentiles


def reduced(film: Film, reduction: Reduction) -> Film:
    """A film at the size of x, its levels [S, S] still in the sender's units."""
    height, width = np.float32(film.levels.shape[0]), np.float32(film.levels.shape[1])
    height_seen, width_seen = _seen(height, width, np.float32(film.upright_pixel_aspect), reduction.aspect)
    rows = _Weights.of(reduction.side, height, height_seen)
    columns = _Weights.of(reduction.side, width, width_seen)

    def summed(lines: Callable[[slice], FloatArray]) -> FloatArray:
        narrow = rows.sums(lines, film.levels.shape[1])
        return columns.sums(lambda part: narrow.T[part], reduction.side).T

    # As in the graph, the film's mean is taken out first: float32 then resolves 16-bit levels through the sums.
    centre = np.float32(film.levels.mean(dtype=np.float64))
    padding = film.padding
    inside = rows.inside[:, np.newaxis] & columns.inside
    if padding is None:
        levels = summed(lambda part: film.levels[part].astype(np.float32) - centre)
    else:
        share = summed(lambda part: (~padding[part]).astype(np.float32))
        levels = summed(lambda part: (film.levels[part].astype(np.float32) - centre) * ~padding[part])
        levels /= np.maximum(share, _LEAST_SHARE)
    darkest = levels.max() if film.inverted else levels.min()
    levels = np.where(inside, levels, darkest)
    if padding is not None and (picture := ~inside | (share > _LEAST_SHARE)).any():
        levels = without_padding(levels, picture, film.inverted, reduction.percentiles)

    top, left = (height - height_seen) / 2, (width - width_seen) / 2
    box = (float(top), float(left), float(top + height_seen), float(left + width_seen))
    stored_height, stored_width = film.levels.shape
    return replace(film, levels=levels, padding=None, reduced=Reduced(stored_height, stored_width, box))


def _seen(
    height: np.float32, width: np.float32, pixel_aspect: np.float32, aspect: Aspect
) -> tuple[np.float32, np.float32]:
    """Rows and columns of the film that x covers."""
    if aspect == "stretch":
        return height, width
    length = height * pixel_aspect
    side = np.minimum(length, width) if aspect == "crop" else np.maximum(length, width)
    return side / pixel_aspect, side


@dataclass(frozen=True)
class _Weights:
    """A triangle filter as wide as an output pixel, for each of S output pixels.

    Attributes:
        first: [S] first of the film's lines that an output pixel is made of.
        weights: [S, K] of that line and those that follow.
        inside: [S] whether an output pixel lies on the film.
    """

    first: NDArray[np.int64]
    weights: FloatArray
    inside: NDArray[np.bool_]

    @classmethod
    def of(cls, side: int, extent: np.float32, seen: np.float32) -> "_Weights":
        """The filter along a side of `extent` lines, of which x covers `seen`."""
        scale = seen / np.float32(side)
        reach = np.maximum(scale, np.float32(1))
        centres = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * scale + (extent - seen) / 2
        # Two lines more on either side than the filter reaches: rounding must leave none out.
        lines = int(extent)
        count = min(lines, 2 * int(np.ceil(reach)) + 4)
        first = np.clip(np.floor(centres - reach).astype(np.int64) - 2, 0, lines - count)
        positions = (first[:, np.newaxis] + np.arange(count)).astype(np.float32)
        distance = np.abs(positions + np.float32(0.5) - centres[:, np.newaxis]) / reach
        weights = np.maximum(1 - distance, np.float32(0))
        total = np.maximum(weights.sum(1, keepdims=True), np.float32(1e-6))
        return cls(first, weights / total, (centres > 0) & (centres < extent))

    def sums(self, lines: Callable[[slice], FloatArray], width: int) -> FloatArray:
        """[S, width] weighted sums of a film's lines, which are asked for some at a time as [k, width]."""
        made = np.empty((len(self.first), width), np.float32)
        for line, (first, weights) in enumerate(zip(self.first, self.weights, strict=True)):
            made[line] = weights @ lines(slice(int(first), int(first) + len(weights)))
        return made
