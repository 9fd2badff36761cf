"""The elements of a DICOM file that its picture needs, and no others.

The patient's name is never parsed, so it can be in no text of ours.
"""

import zlib
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import VR

from medxgan.server.errors import ImageError, ImageTooLargeError, UnsupportedError
from medxgan.server.images.dicom.errors import FIELD
from medxgan.server.images.dicom.syntaxes import CODECS
from medxgan.server.images.dicom_start import dicom_start
from medxgan.server.images.limits import ImageLimits

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
        "PixelPaddingRangeLimit",
        "FloatPixelPaddingValue",
        "FloatPixelPaddingRangeLimit",
        "DoubleFloatPixelPaddingValue",
        "DoubleFloatPixelPaddingRangeLimit",
        "PixelSpacing",
        "ImagerPixelSpacing",
        "NominalScannedPixelSpacing",
        "PixelAspectRatio",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "ModalityLUTSequence",
        "RescaleIntercept",
        "RescaleSlope",
        "WindowCenter",
        "WindowWidth",
        "VOILUTSequence",
        "PresentationLUTShape",
        "ShutterShape",
        "RedPaletteColorLookupTableDescriptor",
        "GreenPaletteColorLookupTableDescriptor",
        "BluePaletteColorLookupTableDescriptor",
        "RedPaletteColorLookupTableData",
        "GreenPaletteColorLookupTableData",
        "BluePaletteColorLookupTableData",
        "SegmentedRedPaletteColorLookupTableData",
        "SegmentedGreenPaletteColorLookupTableData",
        "SegmentedBluePaletteColorLookupTableData",
        "ExtendedOffsetTable",
        "ExtendedOffsetTableLengths",
        "PixelData",
        "FloatPixelData",
        "DoubleFloatPixelData",
    )
]

_META_GROUP = 0x0002
_VALUE_REPRESENTATIONS = {representation.value.encode() for representation in VR if len(representation.value) == 2}


@dataclass(frozen=True)
class PictureElements:
    """What a file holds of its picture.

    Attributes:
        syntax: transfer syntax.
        dataset: the elements that the picture needs, its pixels still compressed.
        notes: what the file lacks and what was taken instead, a sentence each.
    """

    syntax: UID
    dataset: Dataset
    notes: tuple[str, ...]


def read_picture_elements(content: bytes, limits: ImageLimits) -> PictureElements:
    """Read a DICOM file as it is found: with or without preamble, file meta information or transfer syntax.

    Where the meta information ends follows from its elements alone. Its stated length is often 0 or missing, and may
    be made to reach into the data set.

    Raises:
        ImageError: if the content is no DICOM object.
        ImageTooLargeError: if a deflated data set unfolds to more than the limit.
        UnsupportedError: if nothing here reads the transfer syntax.
    """
    start = dicom_start(content)
    if start is None:
        raise ImageError(FIELD, "expected a DICOM file, got something else")
    file = BytesIO(content)
    file.seek(start)
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=_after_meta)
    notes: tuple[str, ...] = ()
    if stated := meta.get("TransferSyntaxUID"):
        syntax = UID(str(stated))
    else:
        syntax = _guessed_syntax(content[file.tell() : file.tell() + 6])
        notes = (f"the file states no transfer syntax: {syntax.name} was taken",)
    if syntax not in CODECS:
        known = f" {syntax.name}" if syntax.is_transfer_syntax else ""
        raise UnsupportedError(f"{FIELD}: this server has no decoder for the transfer syntax{known}")
    if syntax == DeflatedExplicitVRLittleEndian:
        file = BytesIO(_inflate(memoryview(content)[file.tell() :], limits))
    big_endian = syntax == ExplicitVRBigEndian
    dataset = read_dataset(file, syntax == ImplicitVRLittleEndian, not big_endian, specific_tags=_PICTURE_TAGS)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return PictureElements(syntax, dataset, notes)


def _after_meta(tag: BaseTag, _representation: str | None, _length: int) -> bool:
    return tag.group != _META_GROUP


def _guessed_syntax(beginning: bytes) -> UID:
    """The transfer syntax of a data set that begins so: DICOM's default, unless it can't be that."""
    if beginning[4:6] not in _VALUE_REPRESENTATIONS:
        return ImplicitVRLittleEndian
    # Groups are small numbers: one that is large when read little-endian was written the other way round.
    return ExplicitVRBigEndian if int.from_bytes(beginning[:2], "little") >= 0x0100 else ExplicitVRLittleEndian


def _inflate(body: memoryview, limits: ImageLimits) -> bytes:
    """Inflate a deflated data set up to the limit; pydicom would inflate it without one."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(body, limits.maximum_decompressed_bytes)
    if inflater.unconsumed_tail and not inflater.eof:
        raise ImageTooLargeError(
            FIELD, f"expected at most {limits.maximum_decompressed_bytes} bytes when decompressed, got more"
        )
    return inflated
