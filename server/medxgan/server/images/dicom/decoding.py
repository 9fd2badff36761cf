"""DICOM objects to grey films. Imported only where a DICOM file comes in: it needs the extra `dicom`."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from pydicom.errors import BytesLengthException

from medxgan.server.errors import ImageError
from medxgan.server.images.dicom import grey
from medxgan.server.images.dicom.errors import FIELD
from medxgan.server.images.dicom.file import PictureElements, read_picture_elements
from medxgan.server.images.dicom.frames import Frame
from medxgan.server.images.dicom.header import PixelModule
from medxgan.server.images.dicom.padding import PADDING_NOTE, padding_mask, with_dark_padding
from medxgan.server.images.dicom.stored import read_stored
from medxgan.server.images.film import COLOUR_NOTE, Film, grey_from_colour
from medxgan.server.images.frames import frame_index
from medxgan.server.images.levels import SHIFTED_NOTE, single_precision
from medxgan.server.images.limits import ImageLimits

# What pydicom raises on a damaged file: whatever its parsing ran into, found by damaging files (see the tests).
_READ_ERRORS = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    struct.error,
    TypeError,
    ValueError,
    zlib.error,
)


def decode_dicom(content: bytes, frame: int, limits: ImageLimits) -> Film:
    """Read one frame of a DICOM object, in any transfer syntax of `syntaxes.CODECS`.

    The modality transformation (rescale slope and intercept, or a lookup table) is applied, so that levels are in the
    modality's units. A VOI window or lookup table is not: it is a choice of display that clips what it leaves out, and
    the model's preprocessing takes its own window from percentiles of the picture. MONOCHROME1 is kept as it is and
    marked `inverted`. Padding is dark and has no part in the contrast, and colour becomes grey; the notes say so.

    Args:
        content: the file.
        frame: the frame to read, from 1; 0 where none was asked for, which is an error with several.
        limits: the largest image taken.

    Raises:
        ImageError: if the file can't be read, has no pixels or no such frame, naming the element.
        ImageTooLargeError: if the size in the header is over a limit; nothing was decompressed then.
        UnsupportedError: if nothing here reads the transfer syntax.
    """
    try:
        return _film(read_picture_elements(content, limits), frame, limits)
    except _READ_ERRORS:
        # Not chained: some of these errors quote the file.
        raise ImageError(FIELD, "expected a whole DICOM file, got one that can't be decoded") from None


def _film(elements: PictureElements, asked: int, limits: ImageLimits) -> Film:
    dataset = elements.dataset
    module = PixelModule.of(dataset)
    limits.check(FIELD, module.rows, module.columns, module.bytes_per_pixel)
    frame = Frame.of(dataset, frame_index(module.frames, asked))
    stored = read_stored(dataset, elements.syntax, module, frame.index)
    notes = list(elements.notes)
    inverted = False
    values = stored.values
    padding: NDArray[np.bool_] | None = None
    if grey.is_palette(module):
        values = grey.palette_colours(values, dataset)
    elif values.ndim == 2:
        padding = padding_mask(dataset, module, stored)
        values = grey.modality_levels(values, frame)
        inverted, asks = grey.display(module, frame)
        notes += asks
    if values.ndim == 3:
        notes.append(COLOUR_NOTE)
        values = grey_from_colour(values)
    if padding is not None:
        values = with_dark_padding(values, padding, inverted)
        notes.append(PADDING_NOTE)
    try:
        levels, shifted = single_precision(values)
    except ValueError as error:
        raise ImageError(FIELD, str(error)) from None
    if shifted:
        notes.append(SHIFTED_NOTE)
    spacing, aspect, disagreements = grey.pixel_spacing(frame)
    return Film(
        levels,
        inverted=inverted,
        spacing=spacing,
        pixel_aspect=aspect,
        frame=frame.index + 1 if module.frames > 1 else 0,
        padding=padding,
        notes=(*notes, *disagreements),
    )
