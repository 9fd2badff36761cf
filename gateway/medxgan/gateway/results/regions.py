"""Where the evidence lies: the connected regions of a map that stand out, with their outlines and measurements."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from skimage.measure import approximate_polygon, find_contours, label

from medxgan.client import Explanation, Geometry, MapKind
from medxgan.gateway.results.overlay import GREY_LEVEL

FloatArray = NDArray[np.float32]

MOST_REGIONS = 8
LEAST_MAP_PIXELS = 9
"""Area below which a region is noise, in pixels of the map."""


@dataclass(frozen=True, eq=False)
class Region:
    """A region of a film.

    Attributes:
        mask: [rows, columns], True inside.
        outline: [n, 2] column and row of the corners of a closed polygon, in pixels between pixel edges: the upper left
            corner of the film is 0, 0. Holes are not outlined.
        area_pixels: pixels of the film.
        area_mm2: in square millimetres, at the detector where the film's spacing is; None where it is not known.
        mean_change: mean of the difference inside, in units of x, -2 to 2.
        largest_change: the value of the difference that is largest by magnitude inside, in units of x.
    """

    mask: NDArray[np.bool_]
    outline: NDArray[np.float64]
    area_pixels: int
    area_mm2: float | None
    mean_change: float
    largest_change: float


def evidence_kind(explanation: Explanation) -> MapKind:
    """The map whose regions are found: the evidence, or the difference where the explanation has no evidence map."""
    return MapKind.EVIDENCE if MapKind.EVIDENCE in explanation.maps else MapKind.DIFFERENCE


def find_regions(explanation: Explanation) -> list[Region]:
    """The regions of an explanation, those with most evidence first, at most `MOST_REGIONS`.

    Otsu's threshold parts the magnitudes of the map; what is above it, laid back on the film, are the regions. There is
    none where the difference is below a grey level everywhere.

    Raises:
        LookupError: the explanation does not have the difference.
        GeometryError: it does not say where its maps lie.
    """
    magnitude = np.abs(explanation[evidence_kind(explanation)])
    if float(np.abs(explanation.difference).max()) < GREY_LEVEL or magnitude.min() == magnitude.max():
        return []
    geometry = explanation.geometry
    threshold = float(threshold_otsu(magnitude))
    on_film = geometry.lay_on_film(magnitude, fill=0.0)
    difference = geometry.lay_on_film(explanation.difference, fill=0.0)
    labels = label(on_film > threshold, connectivity=1)
    box = geometry.box
    map_pixel = (box.bottom - box.top) * (box.right - box.left) / magnitude.size

    areas = np.bincount(labels.ravel())
    evidence = np.bincount(labels.ravel(), weights=on_film.ravel())
    found = [index for index in range(1, areas.size) if areas[index] >= LEAST_MAP_PIXELS * map_pixel]
    found.sort(key=lambda index: -evidence[index])
    return [_region(labels == index, difference, geometry) for index in found[:MOST_REGIONS]]


def _region(mask: NDArray[np.bool_], difference: FloatArray, geometry: Geometry) -> Region:
    inside, pixels, spacing = difference[mask], int(mask.sum()), geometry.pixel_spacing
    return Region(
        mask=mask,
        outline=_outline(mask),
        area_pixels=pixels,
        area_mm2=None if spacing is None else pixels * spacing.row_mm * spacing.column_mm,
        mean_change=float(inside.mean()),
        largest_change=float(inside[np.abs(inside).argmax()]),
    )


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The longest contour of a mask, with as few corners as keep it within half a pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1).astype(np.float32)
    contour = max(find_contours(part, 0.5), key=len)
    corners = approximate_polygon(contour, tolerance=0.5)
    # Contours run between centres of pixels, and a pixel was padded on.
    return np.stack([corners[:, 1] - 0.5 + columns[0], corners[:, 0] - 0.5 + rows[0]], axis=1)
