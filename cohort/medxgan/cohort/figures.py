"""Figures of one map: how strong it is, where it is strongest, and how much of it lies in parts of the picture."""

from contextlib import suppress

import numpy as np

from medxgan.client.geometry import FloatArray, Geometry, GeometryError

BORDER = 0.1
"""Share of a side that counts as the border: labels, markers and collimation lie there, and no patient."""

FIGURES = ("mean", "mean_magnitude", "peak", "peak_row", "peak_column", "peak_film_row", "peak_film_column")
"""Names of the figures of every map, but for the shares."""


class Region:
    """A rectangle on x, in shares (0 to 1) of its sides.

    Args:
        top: and so on: 0, 0, 1, 1 is all of x.
        left: its left edge.
        bottom: its lower edge.
        right: its right edge.
    """

    def __init__(self, top: float, left: float, bottom: float, right: float) -> None:
        self.edges = (top, left, bottom, right)

    @classmethod
    def parse(cls, text: str) -> "Region":
        """Read TOP,LEFT,BOTTOM,RIGHT.

        Raises:
            ValueError: it is no rectangle within x.
        """
        top, left, bottom, right = (float(part) for part in text.split(","))
        if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
            raise ValueError("the edges are out of order, or not from 0 to 1")
        return cls(top, left, bottom, right)

    def weights(self, rows: int, columns: int) -> FloatArray:
        """[rows, columns]: which share (0 to 1) of each pixel lies in it."""
        top, left, bottom, right = self.edges
        down = _overlap(rows, top * rows, bottom * rows)
        across = _overlap(columns, left * columns, right * columns)
        return (down[:, np.newaxis] * across).astype(np.float32)


INNER = Region(BORDER, BORDER, 1 - BORDER, 1 - BORDER)
"""What is not the border."""


def map_figures(values: FloatArray, geometry: Geometry, region: Region | None) -> dict[str, float | int | None]:
    """The figures of a map [S, S], by name.

    `peak` is the value of greatest magnitude, `peak_row` and `peak_column` its pixel on the map, from 0, and
    `peak_film_*` that pixel's centre on the film as it was sent. Shares are of the sum of magnitudes; a map that is 0
    everywhere, or holds what is no finite number, has none.
    """
    figures: dict[str, float | int | None] = dict.fromkeys(
        (*FIGURES, "border_share", *(("region_share",) if region else ()))
    )
    magnitude = np.abs(values)
    total = float(magnitude.sum(dtype=np.float64))
    if not np.isfinite(total):
        return figures
    row, column = (int(place) for place in np.unravel_index(int(magnitude.argmax()), magnitude.shape))
    figures |= {
        "mean": float(values.mean(dtype=np.float64)),
        "mean_magnitude": float(magnitude.mean(dtype=np.float64)),
        "peak": float(values[row, column]),
        "peak_row": row,
        "peak_column": column,
    }
    # A newer server may turn films in a way that this client does not know.
    with suppress(GeometryError):
        figures["peak_film_row"], figures["peak_film_column"] = geometry.to_film(row + 0.5, column + 0.5, values.shape)
    if total > 0:
        figures["border_share"] = 1 - float((magnitude * INNER.weights(*values.shape)).sum(dtype=np.float64)) / total
        if region is not None:
            inside = (magnitude * region.weights(*values.shape)).sum(dtype=np.float64)
            figures["region_share"] = float(inside) / total
    return figures


def _overlap(count: int, low: float, high: float) -> FloatArray:
    """Which share of each pixel [i, i + 1) of `count` lies in [low, high)."""
    places = np.arange(count, dtype=np.float32)
    covered: FloatArray = np.clip(np.minimum(places + 1, high) - np.maximum(places, low), 0, 1).astype(np.float32)
    return covered
