"""Reader of folders of DICOM files; a CSV table says which are positive."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGBaseline8Bit

from medxgan.training.data.errors import DataError
from medxgan.training.data.samples import LabelledImages
from medxgan.training.data.tables import read_table

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")

# What pydicom and its decoders raise on broken or unsupported files.
READ_ERRORS = (
    AttributeError,
    InvalidDicomError,
    KeyError,
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


def read_dicom_folder(root: Path, labels: Path) -> LabelledImages:
    """Reads the DICOM files that a table names; others in the folder are left out.

    A file's patient is its PatientID, its source its InstitutionName; both are empty where the file does not say.
    The modality transformation (rescale slope and intercept, or a lookup table) is applied and gives float32; where
    there is none, levels stay as stored. A window is not applied; MONOCHROME1 is noted in `inverted`, not undone.

    Args:
        root: the folder.
        labels: CSV file with the columns `file` (relative to `root`) and `label` (0 or 1).

    Raises:
        DataError: the table or a file cannot be read, a label is not 0 or 1, a file is not one grey picture.
    """
    label_of = read_table(labels, "file", "label")
    for name, label in label_of.items():
        if label not in ("0", "1"):
            raise DataError(f"{labels}: {name}: expected the label 0 or 1, got {label!r}")
    films = [_read_film(root / name) for name in label_of]
    return LabelledImages(
        images=[film.levels for film in films],
        labels=np.array([int(label) for label in label_of.values()], dtype=np.uint8),
        patients=tuple(film.patient for film in films),
        sources=tuple(film.source for film in films),
        ids=tuple(label_of),
        inverted=np.array([film.inverted for film in films], dtype=np.bool_),
    )


@dataclass(frozen=True)
class _Film:
    levels: NDArray[Any]
    patient: str
    source: str
    inverted: bool


def _read_film(file: Path) -> _Film:
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
        if header.file_meta.TransferSyntaxUID in PILLOW_SYNTAXES:
            header.pixel_array_options(decoding_plugin="pillow")
        levels = _in_modality_units(header.pixel_array, header)
    except READ_ERRORS as error:
        raise DataError(f"{file}: pixels cannot be decoded: {error}") from error
    return _Film(levels, patient, source, inverted=interpretation == "MONOCHROME1")


def _in_modality_units(stored: NDArray[Any], header: pydicom.Dataset) -> NDArray[Any]:
    if stored.dtype in (np.uint8, np.uint16) and "ModalityLUTSequence" not in header:
        slope, intercept = header.get("RescaleSlope", 1.0), header.get("RescaleIntercept", 0.0)
        if (slope, intercept) == (1.0, 0.0):
            return stored
    levels: NDArray[np.float32] = apply_modality_lut(stored, header).astype(np.float32)
    return levels
