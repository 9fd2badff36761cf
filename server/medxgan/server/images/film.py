"""The grey film that every form of image becomes, and where x lies on it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from medxgan.v1 import explanation_pb2
from medxgan.v1.explanation_pb2 import ORIENTATION_AS_STORED, Orientation

COLOUR_NOTE = "colour was converted to grey"
RESOLUTION_NOTE = "pixels that are not square were taken as such, by the resolution that the file states"

MOST_ELONGATED = 16
"""Times that one side of a pixel may be as long as the other: beyond lie slips, and sides of x that vanish."""

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""

_SIDES_EXCHANGED = frozenset(
    {
        explanation_pb2.ORIENTATION_TRANSPOSED,
        explanation_pb2.ORIENTATION_TURNED_90,
        explanation_pb2.ORIENTATION_TRANSVERSED,
        explanation_pb2.ORIENTATION_TURNED_270,
    }
)
"""Orientations in which rows become columns."""

_STRIP_PIXELS = 2**18


@dataclass(frozen=True)
class PixelSpacing:
    """Distances between neighbouring pixels of a film as it was sent, in millimetres: of rows, and of columns."""

    row_mm: float
    column_mm: float


def has_pixel_shape(height: float, width: float) -> bool:
    """Whether there are pixels of such a height and width, in any unit."""
    return 0 < max(height, width) <= MOST_ELONGATED * min(height, width)


@dataclass(frozen=True)
class Reduced:
    """What a film was before it was reduced to the size of x.

    Attributes:
        height: rows of the upright film.
        width: columns of the upright film.
        box: top, left, bottom and right edge of the part that is left, in pixels of the upright film.
    """

    height: int
    width: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Film:
    """A grey film, upright.

    Attributes:
        levels: [H, W] grey levels in the sender's own units; finite. They are whole numbers of at most 16 bits where a
            file was read in its worker, else float32.
        inverted: whether a high level means dark (DICOM's MONOCHROME1, TIFF's WhiteIsZero).
        orientation: how the film as it was sent was turned to stand upright.
        spacing: distances between the pixels of the film as it was sent; None where they are not known.
        pixel_aspect: height of a pixel of the film as it was sent over its width.
        frame: which frame it is of a multi-frame object, from 1; 0 where there is one frame.
        padding: [H, W] True where a pixel is none of the picture; None where all are, or where `levels` heed it.
        notes: what was done to the film on the way in, a sentence each, for the caller.
        reduced: where `levels` are the film at the size of x, [S, S]: what it was before; None where they are the film.
    """

    levels: NDArray[np.generic]
    inverted: bool = False
    orientation: Orientation = ORIENTATION_AS_STORED
    spacing: PixelSpacing | None = None
    pixel_aspect: float = 1.0
    frame: int = 0
    padding: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = field(default=())
    reduced: Reduced | None = None

    @property
    def upright_pixel_aspect(self) -> float:
        """Height of a pixel over its width once the film is upright."""
        return 1 / self.pixel_aspect if self.orientation in _SIDES_EXCHANGED else self.pixel_aspect

    @property
    def sent_shape(self) -> tuple[int, int]:
        """Rows and columns of the film as it was sent."""
        height, width = self.levels.shape if self.reduced is None else (self.reduced.height, self.reduced.width)
        return (width, height) if self.orientation in _SIDES_EXCHANGED else (height, width)

    def in_single_precision(self) -> "Film":
        """The film with levels of float32."""
        return replace(self, levels=self.levels.astype(np.float32, copy=False))


@dataclass(frozen=True)
class Placement:
    """Where x lies on the film: the fields of `Geometry` in explanation.proto.

    Attributes:
        rows: of the film as it was sent.
        columns: of the film as it was sent.
        orientation: how it was turned to stand upright.
        box: top, left, bottom and right edge of the part that x covers, in pixels of the upright film.
        spacing: distances between the pixels of the film as it was sent; None where they are not known.
        pixel_aspect: height of a pixel of the film as it was sent over its width.
        frame: which frame was read, from 1; 0 where there is one frame.
    """

    rows: int
    columns: int
    orientation: Orientation
    box: tuple[float, float, float, float]
    spacing: PixelSpacing | None
    pixel_aspect: float
    frame: int

    @classmethod
    def of(cls, film: Film, box: NDArray[np.float32]) -> "Placement":
        """The placement of x in a film, whose part `box` [4] it covers."""
        rows, columns = film.sent_shape
        top, left, bottom, right = (float(edge) for edge in box)
        return cls(
            rows, columns, film.orientation, (top, left, bottom, right), film.spacing, film.pixel_aspect, film.frame
        )


def grey_from_colour(colour: NDArray[np.generic]) -> NDArray[np.float32]:
    """Turn red, green and blue [H, W, 3] into grey [H, W] by the luma of ITU-R BT.601."""
    grey = np.empty(colour.shape[:2], np.float32)
    for rows in strips(*colour.shape[:2]):
        red, green, blue = (
            colour[rows, :, channel].astype(np.float32) * weight for channel, weight in enumerate(_LUMA)
        )
        grey[rows] = red + green + blue
    return grey


def strips(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture some at a time, so that what is computed on the way is small beside a large picture."""
    rows = max(1, _STRIP_PIXELS // max(1, width))
    for first in range(0, height, rows):
        yield slice(first, first + rows)
