"""DICOM Part 10 files to grey pictures. Imported only where a DICOM file comes in: it needs the extra `dicom`.

Only the elements that the picture needs are read. The patient's name is never parsed, so it can be in no text of ours.
"""

import math
import struct
import zlib
from io import BytesIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
)

from medxgan.server.errors import ImageError, ImageTooLargeError, UnsupportedError
from medxgan.server.images.codestream import stated_size
from medxgan.server.images.grey import COLOUR_NOTE, GreyImage, grey_from_colour
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.quiet import quiet_reader

_FIELD = "image.dicom"

_PICTURE_TAGS: list[BaseTag | int] = [
    Tag(keyword)
    for keyword in (
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "PixelPaddingValue",
        "ModalityLUTSequence",
        "RescaleIntercept",
        "RescaleSlope",
        "RedPaletteColorLookupTableDescriptor",
        "GreenPaletteColorLookupTableDescriptor",
        "BluePaletteColorLookupTableDescriptor",
        "RedPaletteColorLookupTableData",
        "GreenPaletteColorLookupTableData",
        "BluePaletteColorLookupTableData",
        "SegmentedRedPaletteColorLookupTableData",
        "SegmentedGreenPaletteColorLookupTableData",
        "SegmentedBluePaletteColorLookupTableData",
        "PixelData",
    )
]

# GDCM ends the whole process on some damaged JPEG 2000 frames, so Pillow reads what it can read; GDCM reads the rest.
_PILLOW_SYNTAXES = {JPEGBaseline8Bit, *JPEG2000TransferSyntaxes}

_SYNTAXES_WITH_CODESTREAMS = {*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes}

# Preamble, "DICM", and the first element: (0002,0000) UL, the length of the file meta information that follows.
_META_LENGTH_ELEMENT = slice(128, 140)
_META_LENGTH_PREFIX = b"DICM\x02\x00\x00\x00UL\x04\x00"
_META_START = 144

# What pydicom raises on a damaged file: whatever its parsing ran into, found by damaging files (see the tests).
_READ_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    struct.error,
    TypeError,
    ValueError,
    zlib.error,
    BytesLengthException,
)


def decode_dicom(content: bytes, limits: ImageLimits) -> GreyImage:
    """Read a DICOM Part 10 file with one frame, in any transfer syntax that pydicom and GDCM decode.

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
            return _decode(content, limits)
        except _READ_ERRORS:
            # Not chained: some of these errors quote the file.
            raise ImageError(_FIELD, "expected a whole DICOM file, got one that can't be decoded") from None


def _decode(content: bytes, limits: ImageLimits) -> GreyImage:
    syntax, dataset = _read(content, limits)
    if "PixelData" not in dataset:
        raise ImageError(_FIELD, "expected Pixel Data (7FE0,0010), got a data set without")
    if (frames := int(dataset.get("NumberOfFrames") or 1)) != 1:
        raise ImageError(_FIELD, f"expected one frame, got {frames}")
    _check_size(dataset, syntax, limits)
    pixels, interpretation = _pixels(dataset, syntax)

    notes = []
    if "PixelPaddingValue" in dataset:
        notes.append(f"padding pixels (stored value {dataset.PixelPaddingValue}) were kept as they are")
    if interpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    if pixels.ndim == 3:
        notes.append(COLOUR_NOTE)
        levels = grey_from_colour(pixels)
    else:
        levels = apply_modality_lut(pixels, dataset).astype(np.float32)
    if not np.isfinite(levels).all():
        raise ImageError(_FIELD, "expected finite grey levels after the rescale slope and intercept")
    return GreyImage(levels, interpretation == "MONOCHROME1", tuple(notes))


def _read(content: bytes, limits: ImageLimits) -> tuple[UID, Dataset]:
    """Transfer syntax and data set, less the elements that the picture does not need."""
    if content[_META_LENGTH_ELEMENT] != _META_LENGTH_PREFIX:
        raise ImageError(_FIELD, "expected a DICOM Part 10 file, got something else")
    meta_end = _META_START + int.from_bytes(content[_META_LENGTH_ELEMENT.stop : _META_START], "little")
    meta = pydicom.dcmread(BytesIO(content[:meta_end])).file_meta
    if "TransferSyntaxUID" not in meta:
        raise ImageError(_FIELD, "expected a Transfer Syntax UID (0002,0010), got a file without")
    syntax = meta.TransferSyntaxUID
    body = _inflate(content[meta_end:], limits) if syntax.is_deflated else content[meta_end:]
    dataset = read_dataset(BytesIO(body), syntax.is_implicit_VR, syntax.is_little_endian, specific_tags=_PICTURE_TAGS)
    dataset.file_meta = meta
    return syntax, dataset


def _inflate(body: bytes, limits: ImageLimits) -> bytes:
    """Inflate a deflated data set, but not beyond the limit, as pydicom itself would."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(body, limits.maximum_decompressed_bytes)
    if inflater.unconsumed_tail:
        raise ImageTooLargeError(
            _FIELD, f"expected at most {limits.maximum_decompressed_bytes} bytes when decompressed, got more"
        )
    return inflated


def _check_size(dataset: Dataset, syntax: UID, limits: ImageLimits) -> None:
    """Check the size that the data set states, and that a compressed frame states the same one."""
    height, width = int(dataset.Rows), int(dataset.Columns)
    if height < 1 or width < 1:
        raise ImageError(_FIELD, f"expected Rows and Columns of at least 1, got {height} x {width}")
    limits.check(_FIELD, height, width, math.ceil(dataset.BitsAllocated / 8) * dataset.SamplesPerPixel)
    if syntax in _SYNTAXES_WITH_CODESTREAMS:
        stated = stated_size(get_frame(dataset.PixelData, 0, number_of_frames=1))
        if stated != (height, width):
            raise ImageError(_FIELD, f"expected a compressed frame of {height} x {width} (Rows x Columns)")


def _pixels(dataset: Dataset, syntax: UID) -> tuple[NDArray[np.generic], str]:
    """Stored values [H, W], or red, green and blue [H, W, 3], and their photometric interpretation."""
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise UnsupportedError(f"{_FIELD}: this server has no decoder for the transfer syntax") from error
    if not decoder.is_available:
        raise UnsupportedError(
            f"{_FIELD}: the transfer syntax {syntax.name} needs a decoder: pip install 'medxgan[dicom]'"
        )
    plugin = "pillow" if syntax in _PILLOW_SYNTAXES else ""
    pixels, properties = decoder.as_array(dataset, index=0, decoding_plugin=plugin)
    return pixels, str(properties["photometric_interpretation"])
