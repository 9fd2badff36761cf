"""One DICOM file as a grey film, by the rules that the server reads one by.

A model is served what `medxgan.server.images.dicom` makes of a file, which this room can't import; a test holds what is
read here to it. docs/images.md says which elements count, and how.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGBaseline8Bit

from medxgan.training.data.errors import DataError

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")

# What pydicom and its decoders raise on broken or unsupported files.
READ_ERRORS = (
    ArithmeticError,
    AttributeError,
    InvalidDicomError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    BytesLengthException,
)

# GDCM ends the whole process on some damaged JPEG 2000 frames, so Pillow reads what it can read; GDCM reads the rest.
PILLOW_SYNTAXES = {JPEGBaseline8Bit, *JPEG2000TransferSyntaxes}

SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
"""Where the shape of a pixel is stated, by precedence."""

PADDING_SHARE = 0.005
"""Share of the picture that is darker than padding."""

LEAST_SPAN, LEAST_STEPS, NEW_SPAN = 1e-2, 2**14, 65_535.0
"""Levels that span less, or of which single precision tells fewer apart, are brought to another span."""


@dataclass(frozen=True)
class DicomFilm:
    """A film.

    Attributes:
        levels: [H, W] uint8, uint16 or float32, in the modality's units; padding is dark.
        patient: PatientID; empty where the file does not say.
        source: InstitutionName; the same.
        inverted: whether a high level means dark.
        pixel_aspect: height of a pixel over its width.
        padding: [H, W] True where a pixel is none of the picture; None where all are.
    """

    levels: NDArray[Any]
    patient: str
    source: str
    inverted: bool
    pixel_aspect: float
    padding: NDArray[np.bool_] | None


def read_dicom_film(file: Path) -> DicomFilm:
    """Read a file.

    The modality transformation is applied; where there is none, levels stay as stored. A window is not applied. What
    turns the picture over (MONOCHROME1, a Presentation LUT Shape of INVERSE, a VOI lookup table that falls) is noted in
    `inverted`, not undone.

    Raises:
        DataError: it cannot be read, or is not one grey picture.
    """
    try:
        header = pydicom.dcmread(file)
        interpretation, frames = header.get("PhotometricInterpretation"), header.get("NumberOfFrames")
        patient, source = str(header.get("PatientID") or ""), str(header.get("InstitutionName") or "")
    except READ_ERRORS as error:
        raise DataError(f"{file}: not a readable DICOM file: {error}") from error
    if "PixelData" not in header:
        raise DataError(f"{file}: no pixels")
    if interpretation not in MONOCHROME:
        raise DataError(f"{file}: expected {' or '.join(MONOCHROME)}, got {interpretation}")
    if frames not in (None, 1):
        raise DataError(f"{file}: expected one picture, got {frames} frames")
    try:
        stored = _stored(header)
        padding = _padding(stored, header)
        levels = _modality_levels(stored, header)
        inverted = _is_inverted(header)
        if padding is not None:
            levels = _with_dark_padding(levels, padding, inverted)
        aspect = _pixel_aspect(header)
    except READ_ERRORS as error:
        raise DataError(f"{file}: pixels cannot be decoded: {error}") from error
    return DicomFilm(_in_single_precision(levels), patient, source, inverted, aspect, padding)


def _stored(header: Dataset, *, whole_cells: bool = False) -> NDArray[Any]:
    """[H, W] stored values; or all bits allocated for them, where they are not compressed."""
    options: dict[str, Any] = {"correct_unused_bits": False} if whole_cells else {}
    if header.file_meta.TransferSyntaxUID in PILLOW_SYNTAXES:
        options["decoding_plugin"] = "pillow"
    header.pixel_array_options(**options)
    return header.pixel_array


def _holder(header: Dataset, macro: str, *keywords: str) -> Dataset:
    """What holds the first of these elements: the frame's functional group, the one of all frames, or the object."""
    for sequence in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for group in list(header.get(sequence) or ())[:1]:
            items = group.get(macro)
            if items and any(keyword in items[0] for keyword in keywords):
                item: Dataset = items[0]
                return item
    return header


def _modality_levels(stored: NDArray[Any], header: Dataset) -> NDArray[Any]:
    if header.get("ModalityLUTSequence"):
        return apply_modality_lut(stored, header).astype(np.float32)
    holder = _holder(header, "PixelValueTransformationSequence", "RescaleSlope", "RescaleIntercept")
    slope, intercept = holder.get("RescaleSlope"), holder.get("RescaleIntercept")
    slope, intercept = 1.0 if slope is None else float(slope), float(intercept or 0)
    if slope == 0:
        raise ValueError("RescaleSlope: expected another number than 0")
    return stored if (slope, intercept) == (1.0, 0.0) else stored.astype(np.float64) * slope + intercept


def _in_single_precision(levels: NDArray[Any]) -> NDArray[Any]:
    """Levels as uint8, uint16 or float32; such as float32 does not resolve are shifted and scaled for it."""
    if levels.dtype in (np.uint8, np.uint16):
        return levels
    low, high = float(levels.min()), float(levels.max())
    span, largest = high - low, max(abs(low), abs(high))
    if span > 0 and (span < LEAST_SPAN or span < LEAST_STEPS * float(np.spacing(np.float32(largest)))):
        levels = (levels.astype(np.float64) - low) * (NEW_SPAN / span)
    return levels.astype(np.float32)


def _is_inverted(header: Dataset) -> bool:
    """Whether a high level is displayed dark."""
    shape = str(header.get("PresentationLUTShape") or "").strip().upper()
    inverted = header.PhotometricInterpretation == "MONOCHROME1" or shape == "INVERSE"
    voi = _holder(header, "FrameVOILUTSequence", "VOILUTSequence", "WindowWidth").get("VOILUTSequence")
    return inverted != (bool(voi) and _falls(voi[0]))


def _falls(table: Dataset) -> bool:
    """Whether a lookup table maps higher values to lower levels."""
    count = int(table.LUTDescriptor[0]) or 2**16
    data = table.LUTData
    if isinstance(data, bytes):
        packed = int(table.LUTDescriptor[2]) == 8 and len(data) in (count, count + count % 2)
        order = "<" if table.original_encoding[1] in (True, None) else ">"
        data = np.frombuffer(data, np.uint8 if packed else np.dtype(f"{order}u2"))
    if len(data) < count:
        raise ValueError(f"LUTData: expected {count} entries, got {len(data)}")
    return bool(data[0] > data[count - 1])


def _pixel_aspect(header: Dataset) -> float:
    """Height of a pixel over its width; 1 where nothing is stated."""
    for keyword in SPACINGS:
        pair = _holder(header, "PixelMeasuresSequence", keyword).get(keyword)
        if not pair:
            continue
        height, width = map(float, pair)
        if min(height, width) < 0:
            raise ValueError(f"{keyword}: expected numbers that are not negative")
        if height and width:
            return height / width
    return 1.0


def _padding(stored: NDArray[Any], header: Dataset) -> NDArray[np.bool_] | None:
    """[H, W] True where a pixel is padding; None where none is.

    Stored values are compared; whole cells, all bits allocated, where the padding does not fit into the bits stored.
    """
    value = header.get("PixelPaddingValue")
    if value is None:
        return None
    limit = header.get("PixelPaddingRangeLimit")
    signed, bits = bool(header.PixelRepresentation), int(header.BitsStored)
    # Writers disagree on the sign of the value: what counts is its bits.
    cells = [_wrapped(int(end), header.BitsAllocated, signed) for end in (value, value if limit is None else limit)]
    ends = [_wrapped(cell, bits, signed) for cell in cells]
    if all(end == cell or (signed and 0 <= cell < 1 << bits) for end, cell in zip(ends, cells, strict=True)):
        compared = stored
    else:
        compared, ends = _stored(header, whole_cells=True), cells
    mask: NDArray[np.bool_] = (compared >= min(ends)) & (compared <= max(ends))
    return mask if mask.any() else None


def _wrapped(number: int, bits: int, signed: bool) -> int:
    """The value of the lowest `bits` of a whole number."""
    low = number & ((1 << bits) - 1)
    return low - (1 << bits) if signed and low >> (bits - 1) else low


def _with_dark_padding(levels: NDArray[Any], padding: NDArray[np.bool_], inverted: bool) -> NDArray[Any]:
    """Padding takes the level below which the darkest half percent of the picture lies."""
    others = levels[~padding]
    if not others.size:
        raise ValueError("PixelPaddingValue: expected pixels that are no padding")
    darker = int(PADDING_SHARE * (others.size - 1))
    place = others.size - 1 - darker if inverted else darker
    return np.where(padding, np.partition(others, place)[place], levels)
