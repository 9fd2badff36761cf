"""How a film's grey levels became x: what is said in x can then be shown in the film's own levels, at its own size.

The model cuts its box out of the film, reduces it and stretches the levels between two percentiles onto [-1, 1]. The
server does not say between which, so that they are fitted: x of the answer against the film reduced in the same way,
by a triangle as wide as two pixels of x, which is what Pillow calls bilinear.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from medxgan.client.results import Explanation
from medxgan.client.vocabulary import MapKind
from medxgan.web.decoding import Film
from medxgan.web.upright import upright

LEAST_CORRELATION = 0.995
"""Below it the fit is not shown: something else than a crop and a stretch made x."""
LEAST_PIXELS = 64
UNCLIPPED = 0.95
"""Magnitudes of x up to here were not cut off by the stretch."""


@dataclass(frozen=True)
class GreyScale:
    """x is `slope` times a grey level of the film plus `offset`."""

    slope: float
    offset: float


def grey_scale(film: Film, explanation: Explanation) -> GreyScale | None:
    """Fit the scale; None where x is not there, or not made of this film by a crop and a stretch alone."""
    original = explanation.maps.get(MapKind.ORIGINAL)
    if original is None or original.values is None or original.values.ndim != 2:
        return None
    levels, box, (height, width) = (
        upright(film.levels, film.orientation),
        explanation.geometry.box,
        original.values.shape,
    )
    # The part of x that lies on the film: it reaches beyond where the film was padded.
    rows = _inside(box.top, box.bottom, height, levels.shape[0])
    columns = _inside(box.left, box.right, width, levels.shape[1])
    x = original.values[rows, columns].astype(np.float64)
    if x.size < LEAST_PIXELS:
        return None
    tall, wide = (box.bottom - box.top) / height, (box.right - box.left) / width
    part = (
        box.left + columns.start * wide,
        box.top + rows.start * tall,
        box.left + columns.stop * wide,
        box.top + rows.stop * tall,
    )
    picture = Image.fromarray(np.ascontiguousarray(levels, np.float32))
    reduced = np.asarray(picture.resize((x.shape[1], x.shape[0]), Image.Resampling.BILINEAR, box=part), np.float64)
    used = np.abs(x) < UNCLIPPED
    if used.sum() < LEAST_PIXELS or np.ptp(reduced[used]) == 0:
        return None
    slope, offset = np.polyfit(reduced[used], x[used], 1)
    if slope == 0 or abs(np.corrcoef(reduced[used], x[used])[0, 1]) < LEAST_CORRELATION:
        return None
    return GreyScale(float(slope), float(offset))


def _inside(low: float, high: float, count: int, size: int) -> slice:
    """Which of `count` pixels spread over [low, high] lie whole in [0, size]."""
    edges = low + (high - low) * np.arange(count + 1) / count
    inside = np.flatnonzero((edges[:-1] >= -1e-9) & (edges[1:] <= size + 1e-9))
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)
