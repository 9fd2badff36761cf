"""`contact-sheet.png`: the first images, a row each, with the maps of every method side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from medxgan.server.engine.port import FloatArray

SIDE = 1.1
"""Inches along a picture's side."""

LESION = "#ffd33d"
REGIONS = {"outside_lungs": "#54aeff", "marks": "#ff4d4d"}
"""Colours of the outlines."""

CLIPPED = 99.5
"""Percentile of a map's magnitude that gets the full colour: single pixels must not pale the rest."""


@dataclass(frozen=True, eq=False)
class Row:
    """One image and its maps.

    Attributes:
        image: its id.
        x: [S, S] in [-1, 1].
        mask: [S, S] True on the pathology, or None.
        regions: [S, S] True on each region of a chest film, by name, where they were looked for.
        realizations: reconstruction and negative realization, [S, S] each, where a generator made them.
        maps: [S, S] of each method, as the server gives them.
    """

    image: str
    x: FloatArray
    mask: NDArray[np.bool_] | None
    regions: Mapping[str, NDArray[np.bool_]]
    realizations: tuple[FloatArray, ...]
    maps: Mapping[str, FloatArray]


def write_contact_sheet(rows: Sequence[Row], path: Path) -> None:
    """Draw the rows, at least one.

    On the image, lesions are outlined in yellow, and of the regions the lung fields in blue and marks in red. In maps,
    red raises the score or adds intensity, blue the contrary; each map has a scale of its own.
    """
    first = rows[0]
    titles = ["image", *("reconstruction", "negative")[: len(first.realizations)], *first.maps]
    figure = Figure(figsize=(SIDE * len(titles), SIDE * len(rows) + 0.45), dpi=150, facecolor="white")
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    top = 1 - 0.4 / figure.get_figheight()
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.005, top=top, wspace=0.04, hspace=0.04)
    for axes, row in zip(grid, rows, strict=True):
        _grey(axes[0], row.x)
        if row.mask is not None:
            _outline(axes[0], row.mask, LESION)
        for name, color in REGIONS.items():
            if name in row.regions:
                _outline(axes[0], row.regions[name], color)
        for column, picture in enumerate(row.realizations, start=1):
            _grey(axes[column], picture)
        for column, values in enumerate(row.maps.values(), start=1 + len(row.realizations)):
            _signed(axes[column], values)
    for axis, title in zip(grid[0], titles, strict=True):
        axis.set_title(title.replace("_", "\n", 1).replace("_", " "), fontsize=6.5, pad=3)
    figure.savefig(path, format="png")


def _grey(axes: Axes, picture: FloatArray) -> None:
    axes.imshow(picture, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_axis_off()


def _outline(axes: Axes, mask: NDArray[np.bool_], color: str) -> None:
    if not mask.all():
        axes.contour(mask, levels=[0.5], colors=[color], linewidths=0.7)


def _signed(axes: Axes, values: FloatArray) -> None:
    reach = float(np.percentile(np.abs(values), CLIPPED)) or float(np.abs(values).max()) or 1.0
    axes.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
    axes.set_axis_off()
