"""A region that a reader draws: how much of each map lies in it, and the film without what is in it."""

import math
from typing import Any

import numpy as np
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from medxgan.client.geometry import Geometry
from medxgan.client.pictures.appearance import PICTURES
from medxgan.client.results import Explanation
from medxgan.web.decoding import Film
from medxgan.web.errors import FieldError

MAXIMUM_CORNERS = 2000
RING = 0.02
"""Width of the surroundings that fill an erased region, over the film's longer side."""


def read_outline(told: Any) -> NDArray[np.float64]:
    """The corners [N, 2] of a region, row and column on the film as it was sent; raises FieldError."""
    try:
        outline = np.asarray(told, np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise FieldError("outline", "a list of [row, column]") from error
    if outline.ndim != 2 or outline.shape[1] != 2 or not 3 <= len(outline) <= MAXIMUM_CORNERS:
        raise FieldError("outline", f"3 to {MAXIMUM_CORNERS} corners [row, column]")
    if not np.isfinite(outline).all():
        raise FieldError("outline", "finite numbers")
    return outline


def shares(explanation: Explanation, outline: NDArray[np.float64]) -> dict[str, float]:
    """The share of each map's magnitude inside a region, by the map's name, and of the area as "area".

    Pictures of the patient have none, nor has a map that is zero or not finite. A pixel counts where its centre lies.

    Raises:
        GeometryError: the answer does not say where its maps lie.
    """
    found: dict[str, float] = {}
    inside: dict[tuple[int, ...], NDArray[np.bool_]] = {}
    for kind, entry in explanation.maps.items():
        if entry.values is None or entry.values.ndim != 2:
            continue
        shape = entry.values.shape
        if shape not in inside:
            inside[shape] = _inside(explanation.geometry, outline, shape)
        magnitude = np.abs(entry.values)
        found["area"] = float(inside[shape].mean())
        total = float(magnitude.sum())
        if kind not in PICTURES and total and math.isfinite(total):
            found[kind.value] = float(magnitude[inside[shape]].sum()) / total
    return found


def _inside(geometry: Geometry, outline: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, columns = np.meshgrid(np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5, indexing="ij")
    places = np.stack(geometry.to_film(rows.ravel(), columns.ravel(), shape), axis=1)
    return np.asarray(Outline(outline).contains_points(places)).reshape(shape)


def erased(film: Film, outline: NDArray[np.float64]) -> NDArray[Any]:
    """The levels of a film with a region filled by the median of its surroundings.

    Raises:
        FieldError: the region holds no pixel of the film, or nothing surrounds it.
    """
    rows, columns = film.levels.shape
    region = _filled(outline, rows, columns)
    if not region.any():
        raise FieldError("outline", "a region on the film")
    ring = _grown(region, max(2, round(RING * max(rows, columns)))) & ~region
    if not ring.any():
        raise FieldError("outline", "a region that leaves something of the film")
    levels = film.levels.copy()
    levels[region] = np.median(film.levels[ring]).astype(levels.dtype)
    return levels


def _filled(outline: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.bool_]:
    picture = Image.new("1", (columns, rows))
    ImageDraw.Draw(picture).polygon([(column - 0.5, row - 0.5) for row, column in outline], fill=1)
    return np.asarray(picture)


def _grown(region: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """A region and what lies up to `by` pixels beside its bounds: row by row, then column by column."""
    grown = region
    for axis in (0, 1):
        count = np.cumsum(grown, axis=axis, dtype=np.int32)
        padded = np.pad(count, [(by + 1, by) if each == axis else (0, 0) for each in (0, 1)], mode="edge")
        before = np.take(padded, range(grown.shape[axis]), axis=axis)
        first = [slice(None), slice(None)]
        first[axis] = slice(0, by + 1)
        before[tuple(first)] = 0
        after = np.take(padded, range(2 * by + 1, 2 * by + 1 + grown.shape[axis]), axis=axis)
        grown = after > before
    return grown


def bright_is_high(film: Film, levels: NDArray[Any]) -> NDArray[Any]:
    """Levels of a film turned over where a high level is dark."""
    return levels.max() - levels if film.inverted else levels
