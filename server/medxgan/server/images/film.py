"""The grey film that every form of image becomes, and where x lies on it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medxgan.v1 import explanation_pb2
from medxgan.v1.explanation_pb2 import ORIENTATION_AS_STORED, Orientation

COLOUR_NOTE = "colour was converted to grey"

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


@dataclass(frozen=True)
class PixelSpacing:
    """Distances between neighbouring pixels of a film as it was sent, in millimetres: of rows, and of columns."""

    row_mm: float
    column_mm: float


@dataclass(frozen=True)
class Film:
    """A grey film, upright, before any scaling.

    Attributes:
        levels: [H, W] float32 grey levels in the sender's own units; finite.
        inverted: whether a high level means dark (DICOM's MONOCHROME1, TIFF's WhiteIsZero).
        orientation: how the film as it was sent was turned to stand upright.
        spacing: distances between the pixels of the film as it was sent; None where they are not known.
        pixel_aspect: height of a pixel of the film as it was sent over its width.
        frame: which frame it is of a multi-frame object, from 1; 0 where there is one frame.
        notes: what was done to the film on the way in, a sentence each, for the caller.
    """

    levels: NDArray[np.float32]
    inverted: bool = False
    orientation: Orientation = ORIENTATION_AS_STORED
    spacing: PixelSpacing | None = None
    pixel_aspect: float = 1.0
    frame: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def upright_pixel_aspect(self) -> float:
        """Height of a pixel over its width once the film is upright."""
        return 1 / self.pixel_aspect if self.orientation in _SIDES_EXCHANGED else self.pixel_aspect

    @property
    def sent_shape(self) -> tuple[int, int]:
        """Rows and columns of the film as it was sent."""
        height, width = self.levels.shape
        return (width, height) if self.orientation in _SIDES_EXCHANGED else (height, width)


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
    red, green, blue = (colour[..., channel].astype(np.float32) * weight for channel, weight in enumerate(_LUMA))
    grey: NDArray[np.float32] = red + green + blue
    return grey
