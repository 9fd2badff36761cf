"""DICOM Part 10 files to grey pictures. Imported only where a DICOM file comes in: it needs the extra `dicom`."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGBaseline8Bit, RLELossless

from medxgan.server.errors import ImageError, UnsupportedError
from medxgan.server.images.dicom_file import FIELD, read_picture_elements
from medxgan.server.images.gdcm_process import decode_apart
from medxgan.server.images.grey import COLOUR_NOTE, GreyImage, grey_from_colour
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.quiet import quiet_reader

# What decodes a compressed frame without GDCM.
_PLUGINS = {
    RLELossless: "pydicom",
    JPEGBaseline8Bit: "pillow",
    **dict.fromkeys(JPEG2000TransferSyntaxes, "pillow"),
}

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


def decode_dicom(content: bytes, limits: ImageLimits) -> GreyImage:
    """Read a DICOM Part 10 file with one frame, in any transfer syntax that pydicom, Pillow or GDCM decode.

    The modality transformation (rescale slope and intercept, or a lookup table) is applied, so that levels are in the
    modality's units. A VOI window or lookup table is not: it is a choice of display that clips what it leaves out, and
    the model's preprocessing takes its own window from percentiles of the picture. MONOCHROME1 is kept as it is and
    marked `inverted`. Padding pixels are kept, colour becomes grey; the notes say so.

    Raises:
        ImageError: if the file can't be read, has no pixels or several frames.
        ImageTooLargeError: if the size in the header is over a limit; nothing was decompressed then.
        UnsupportedError: if this installation has no decoder for the transfer syntax.
    """
    with quiet_reader():
        try:
            syntax, dataset = read_picture_elements(content, limits)
            return _grey(_pixels(dataset, syntax), dataset)
        except _READ_ERRORS:
            # Not chained: some of these errors quote the file.
            raise ImageError(FIELD, "expected a whole DICOM file, got one that can't be decoded") from None


def _pixels(dataset: Dataset, syntax: UID) -> NDArray[np.generic]:
    """Stored values [H, W], or red, green and blue [H, W, 3]."""
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise UnsupportedError(f"{FIELD}: this server has no decoder for the transfer syntax") from error
    if not decoder.is_available:
        raise UnsupportedError(
            f"{FIELD}: the transfer syntax {syntax.name} needs a decoder: pip install 'medxgan[dicom]'"
        )
    if decoder.is_native or syntax in _PLUGINS:
        return decoder.as_array(dataset, index=0, decoding_plugin=_PLUGINS.get(syntax, ""))[0]
    return decode_apart(dataset)


def _grey(pixels: NDArray[np.generic], dataset: Dataset) -> GreyImage:
    notes = []
    if "PixelPaddingValue" in dataset:
        notes.append(f"padding pixels (stored value {dataset.PixelPaddingValue}) were kept as they are")
    interpretation = dataset.PhotometricInterpretation
    if interpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    if pixels.ndim == 3:
        notes.append(COLOUR_NOTE)
        levels = grey_from_colour(pixels)
    else:
        levels = apply_modality_lut(pixels, dataset).astype(np.float32)
    if not np.isfinite(levels).all():
        raise ImageError(FIELD, "expected finite grey levels after the rescale slope and intercept")
    return GreyImage(levels, inverted=interpretation == "MONOCHROME1", notes=tuple(notes))
