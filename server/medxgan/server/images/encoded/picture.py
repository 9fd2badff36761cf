"""A picture as it stands in a file, before it becomes a film."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medxgan.server.errors import ImageError
from medxgan.server.images.film import COLOUR_NOTE, RESOLUTION_NOTE, Film, grey_from_colour, has_pixel_shape
from medxgan.server.images.levels import SHIFTED_NOTE, single_precision
from medxgan.v1 import explanation_pb2
from medxgan.v1.explanation_pb2 import ORIENTATION_AS_STORED, Orientation

FIELD = "image.encoded"
ORIENTATION_TAG = 274
"""EXIF and TIFF: how the rows and columns stored have to be turned."""

TRANSPARENCY_NOTE = "transparency was dropped"
_SAME_ASPECT = 0.01


@dataclass(frozen=True)
class Picture:
    """What a file holds.

    Attributes:
        samples: grey [H, W], or red, green and blue [H, W, 3], as stored.
        white_is_zero: whether a high level means dark.
        orientation: EXIF's number; one that EXIF does not have is no orientation.
        pixels_per_unit: pixels across, and down, of one length; None where they are not stated.
        frame: the page read, from 1; 0 where there is one.
        notes: what was done to it so far.
    """

    samples: NDArray[np.generic]
    white_is_zero: bool = False
    orientation: int = ORIENTATION_AS_STORED
    pixels_per_unit: tuple[float, float] | None = None
    frame: int = 0
    notes: tuple[str, ...] = field(default=())


def film_of(picture: Picture) -> Film:
    """The upright grey film of a picture.

    Raises:
        ImageError: a level is NaN or infinite, or so far from the others that these would be one level.
    """
    notes = list(picture.notes)
    orientation = _orientation(picture.orientation)
    if orientation != ORIENTATION_AS_STORED:
        notes.insert(0, "the picture was turned as its EXIF orientation says")
    values = picture.samples
    if values.ndim == 3:
        notes.append(COLOUR_NOTE)
        values = grey_from_colour(values)
    try:
        levels, shifted = single_precision(_upright(values, orientation))
    except ValueError as error:
        raise ImageError(FIELD, str(error)) from None
    if shifted:
        notes.append(SHIFTED_NOTE)
    aspect = 1.0
    if picture.pixels_per_unit is not None and min(picture.pixels_per_unit) > 0:
        across, down = picture.pixels_per_unit
        if not has_pixel_shape(across, down):
            notes.append("the resolution that the file states is of no pixel that there is, and was not heeded")
        elif abs(across / down - 1) > _SAME_ASPECT:
            aspect = across / down
            notes.append(RESOLUTION_NOTE)
    return Film(
        np.ascontiguousarray(levels),
        inverted=picture.white_is_zero,
        orientation=orientation,
        pixel_aspect=aspect,
        frame=picture.frame,
        notes=tuple(notes),
    )


def _orientation(stated: int) -> Orientation:
    match stated:
        case 2:
            return explanation_pb2.ORIENTATION_MIRRORED_LEFT_RIGHT
        case 3:
            return explanation_pb2.ORIENTATION_TURNED_180
        case 4:
            return explanation_pb2.ORIENTATION_MIRRORED_TOP_BOTTOM
        case 5:
            return explanation_pb2.ORIENTATION_TRANSPOSED
        case 6:
            return explanation_pb2.ORIENTATION_TURNED_90
        case 7:
            return explanation_pb2.ORIENTATION_TRANSVERSED
        case 8:
            return explanation_pb2.ORIENTATION_TURNED_270
    return ORIENTATION_AS_STORED


def _upright(stored: NDArray[np.generic], orientation: Orientation) -> NDArray[np.generic]:
    match orientation:
        case explanation_pb2.ORIENTATION_MIRRORED_LEFT_RIGHT:
            return stored[:, ::-1]
        case explanation_pb2.ORIENTATION_TURNED_180:
            return stored[::-1, ::-1]
        case explanation_pb2.ORIENTATION_MIRRORED_TOP_BOTTOM:
            return stored[::-1]
        case explanation_pb2.ORIENTATION_TRANSPOSED:
            return stored.T
        case explanation_pb2.ORIENTATION_TURNED_90:
            return stored[::-1].T
        case explanation_pb2.ORIENTATION_TRANSVERSED:
            return stored[::-1, ::-1].T
        case explanation_pb2.ORIENTATION_TURNED_270:
            return stored.T[::-1]
    return stored
