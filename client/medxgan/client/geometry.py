"""Where a map lies on the film that was sent, and how it is laid back there.

A film's pixel in row r and column c covers [r, r + 1) x [c, c + 1), and so does a map's pixel on the map. x, and with
it every map, covers a box of the film; the film may have been turned first, and the box may reach beyond it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from medxgan.client.vocabulary import Orientation, Unrecognised

FloatArray = NDArray[np.float32]
Coordinate = TypeVar("Coordinate", float, NDArray[np.floating[Any]])


class GeometryError(ValueError):
    """A map can't be laid on the film: the answer does not say where it lies, or not in a way that is recognised."""


@dataclass(frozen=True)
class PixelSpacing:
    """Distances between the centres of neighbouring rows and of neighbouring columns, in millimetres."""

    row_mm: float
    column_mm: float


@dataclass(frozen=True)
class Box:
    """A rectangle on a film, in pixels, between pixel edges: the whole of a film is 0, 0, rows, columns."""

    top: float
    left: float
    bottom: float
    right: float


@dataclass(frozen=True)
class _Turn:
    """A turn of a picture: rows and columns are exchanged first, then either is reversed."""

    transposed: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False


_TURNS: Mapping[Orientation | Unrecognised, _Turn] = {
    Orientation.AS_STORED: _Turn(),
    Orientation.MIRRORED_LEFT_RIGHT: _Turn(columns_reversed=True),
    Orientation.TURNED_180: _Turn(rows_reversed=True, columns_reversed=True),
    Orientation.MIRRORED_TOP_BOTTOM: _Turn(rows_reversed=True),
    Orientation.TRANSPOSED: _Turn(transposed=True),
    Orientation.TURNED_90: _Turn(transposed=True, columns_reversed=True),
    Orientation.TRANSVERSED: _Turn(transposed=True, rows_reversed=True, columns_reversed=True),
    Orientation.TURNED_270: _Turn(transposed=True, rows_reversed=True),
}


@dataclass(frozen=True)
class Geometry:
    """Where x, and with it every map, lies on the film.

    Attributes:
        rows: of the film as it was sent.
        columns: of the film as it was sent.
        orientation: how the film was turned before anything else.
        box: the part of the film so turned that x covers; it reaches beyond the film where the film was padded.
        pixel_spacing: of the film as it was sent; None where it is not known.
        pixel_aspect: height of a pixel of the film as it was sent over its width; 1 where it is not known.
        frame: the frame that was read of a multi-frame object, from 1; 0 where the object has one frame.
    """

    rows: int
    columns: int
    orientation: Orientation | Unrecognised
    box: Box
    pixel_spacing: PixelSpacing | None
    pixel_aspect: float
    frame: int

    def lay_on_film(self, values: NDArray[Any], *, fill: float = np.nan) -> FloatArray:
        """Lay a map back on the film, by bilinear interpolation between the centres of the map's pixels.

        Args:
            values: a map [h, w] or [h, w, C].
            fill: the value outside of what x covers.

        Returns:
            [rows, columns] or [rows, columns, C], float32, in the layout of the film as it was sent.

        Raises:
            GeometryError: the orientation is unrecognised, or the film or the box is empty.
            ValueError: the map has another number of axes.
        """
        if values.ndim not in (2, 3):
            raise ValueError(f"expected a map [h, w] or [h, w, C], got the shape {values.shape}")
        turn, (rows, columns) = self._turn(), self._turned_size()
        row_weights, covered_rows = _interpolation(rows, self.box.top, self.box.bottom, values.shape[0])
        column_weights, covered_columns = _interpolation(columns, self.box.left, self.box.right, values.shape[1])
        channels = values.reshape(*values.shape[:2], -1).astype(np.float32)
        laid = np.empty((rows, columns, channels.shape[2]), np.float32)
        for channel in range(channels.shape[2]):
            laid[..., channel] = row_weights @ channels[..., channel] @ column_weights.T
        laid[~covered_rows] = fill
        laid[:, ~covered_columns] = fill
        laid = laid[:: -1 if turn.rows_reversed else 1, :: -1 if turn.columns_reversed else 1]
        if turn.transposed:
            laid = laid.swapaxes(0, 1)
        return np.ascontiguousarray(laid if values.ndim == 3 else laid[..., 0])

    def to_film(self, row: Coordinate, column: Coordinate, shape: tuple[int, ...]) -> tuple[Coordinate, Coordinate]:
        """From a place on a map of that shape to row and column on the film as it was sent; numbers or arrays.

        Raises:
            GeometryError: as for `lay_on_film`.
        """
        turn, (rows, columns), box = self._turn(), self._turned_size(), self.box
        row = box.top + row * (box.bottom - box.top) / shape[0]
        column = box.left + column * (box.right - box.left) / shape[1]
        row = rows - row if turn.rows_reversed else row
        column = columns - column if turn.columns_reversed else column
        return (column, row) if turn.transposed else (row, column)

    def to_map(self, row: Coordinate, column: Coordinate, shape: tuple[int, ...]) -> tuple[Coordinate, Coordinate]:
        """From a place on the film as it was sent to row and column on a map of that shape; the reverse of `to_film`.

        A place that x does not cover is outside of [0, h] x [0, w].

        Raises:
            GeometryError: as for `lay_on_film`.
        """
        turn, (rows, columns), box = self._turn(), self._turned_size(), self.box
        if turn.transposed:
            row, column = column, row
        row = rows - row if turn.rows_reversed else row
        column = columns - column if turn.columns_reversed else column
        return (
            (row - box.top) * shape[0] / (box.bottom - box.top),
            (column - box.left) * shape[1] / (box.right - box.left),
        )

    def _turn(self) -> _Turn:
        box = self.box
        if not (self.rows and self.columns and box.top < box.bottom and box.left < box.right):
            raise GeometryError(
                f"the answer does not say where its maps lie on the film: {self.rows} rows, "
                f"{self.columns} columns, {box}"
            )
        if self.orientation not in _TURNS:
            raise GeometryError(f"the film was turned in a way that is {self.orientation}: a newer client is needed")
        return _TURNS[self.orientation]

    def _turned_size(self) -> tuple[int, int]:
        return (self.columns, self.rows) if self._turn().transposed else (self.rows, self.columns)


def _interpolation(size: int, low: float, high: float, count: int) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Weights [size, count] that interpolate `count` values, spread over [low, high], at the centres of `size` pixels.

    Returns:
        The weights, and which of the pixels have their centre in [low, high].
    """
    places = (np.arange(size) + 0.5 - low) * count / (high - low) - 0.5
    covered = (places >= -0.5) & (places <= count - 0.5)
    # Half a pixel at either end lies beyond the outermost centre: it has that pixel's value.
    inside = np.clip(places, 0, count - 1)
    weights = np.maximum(0.0, 1.0 - np.abs(inside[:, np.newaxis] - np.arange(count))).astype(np.float32)
    return weights, covered
