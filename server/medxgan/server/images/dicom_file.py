"""The elements of a DICOM Part 10 file that its picture needs, and no others.

The patient's name is never parsed, so it can be in no text of ours.
"""

import math
import zlib
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from medxgan.server.errors import ImageError, ImageTooLargeError
from medxgan.server.images.codestream import stated_size
from medxgan.server.images.limits import ImageLimits

FIELD = "image.dicom"

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

_SYNTAXES_WITH_CODESTREAMS = {*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes}

# Preamble, "DICM", and the first element: (0002,0000) UL, the length of the file meta information that follows.
_META_LENGTH_ELEMENT = slice(128, 140)
_META_LENGTH_PREFIX = b"DICM\x02\x00\x00\x00UL\x04\x00"
_META_START = 144


def read_picture_elements(content: bytes, limits: ImageLimits) -> tuple[UID, Dataset]:
    """Read a file with one frame, and check the size that it states against the limits.

    Returns:
        The transfer syntax, and a data set of the elements that the picture needs, its pixels still compressed.

    Raises:
        ImageError: if the file is not Part 10, has no pixels or several frames, or contradicts itself.
        ImageTooLargeError: if the size in the header is over a limit.
    """
    if content[_META_LENGTH_ELEMENT] != _META_LENGTH_PREFIX:
        raise ImageError(FIELD, "expected a DICOM Part 10 file, got something else")
    meta_end = _META_START + int.from_bytes(content[_META_LENGTH_ELEMENT.stop : _META_START], "little")
    meta = pydicom.dcmread(BytesIO(content[:meta_end])).file_meta
    if "TransferSyntaxUID" not in meta:
        raise ImageError(FIELD, "expected a Transfer Syntax UID (0002,0010), got a file without")
    syntax = meta.TransferSyntaxUID
    body = _inflate(content[meta_end:], limits) if syntax.is_deflated else content[meta_end:]
    dataset = read_dataset(BytesIO(body), syntax.is_implicit_VR, syntax.is_little_endian, specific_tags=_PICTURE_TAGS)
    dataset.file_meta = meta
    if "PixelData" not in dataset:
        raise ImageError(FIELD, "expected Pixel Data (7FE0,0010), got a data set without")
    if (frames := int(dataset.get("NumberOfFrames") or 1)) != 1:
        raise ImageError(FIELD, f"expected one frame, got {frames}")
    _check_size(dataset, syntax, limits)
    return syntax, dataset


def _inflate(body: bytes, limits: ImageLimits) -> bytes:
    """Inflate a deflated data set up to the limit; pydicom would inflate it without one."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(body, limits.maximum_decompressed_bytes)
    if inflater.unconsumed_tail:
        raise ImageTooLargeError(
            FIELD, f"expected at most {limits.maximum_decompressed_bytes} bytes when decompressed, got more"
        )
    return inflated


def _check_size(dataset: Dataset, syntax: UID, limits: ImageLimits) -> None:
    """Check the size that the data set states, and that a compressed frame states the same one."""
    height, width = int(dataset.Rows), int(dataset.Columns)
    if height < 1 or width < 1:
        raise ImageError(FIELD, f"expected Rows and Columns of at least 1, got {height} x {width}")
    limits.check(FIELD, height, width, math.ceil(dataset.BitsAllocated / 8) * dataset.SamplesPerPixel)
    if syntax in _SYNTAXES_WITH_CODESTREAMS:
        stated = stated_size(get_frame(dataset.PixelData, 0, number_of_frames=1))
        if stated != (height, width):
            raise ImageError(FIELD, f"expected a compressed frame of {height} x {width} (Rows x Columns)")
