"""Reader of folders of DICOM files; a CSV table says which are positive."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from medxgan.training.data.errors import DataError
from medxgan.training.data.samples import LabelledImages
from medxgan.training.data.tables import read_table

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")


def read_dicom_folder(root: Path, labels: Path) -> LabelledImages:
    """Reads the DICOM files that a table names; others in the folder are left out.

    A file's patient is its PatientID, its source its InstitutionName; both are empty where the file does not say.
    Levels are the stored ones where they have no rescale slope and intercept, else float32 of the rescaled ones;
    MONOCHROME1 is noted in `inverted` and not undone.

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
    files = [_read_file(root / name) for name in label_of]
    return LabelledImages(
        images=[levels for levels, _ in files],
        labels=np.array([int(label) for label in label_of.values()], dtype=np.uint8),
        patients=tuple(str(header.get("PatientID") or "") for _, header in files),
        sources=tuple(str(header.get("InstitutionName") or "") for _, header in files),
        ids=tuple(label_of),
        inverted=np.array([header.PhotometricInterpretation == "MONOCHROME1" for _, header in files], dtype=np.bool_),
    )


def _read_file(file: Path) -> tuple[NDArray[Any], pydicom.Dataset]:
    try:
        header = pydicom.dcmread(file)
        if "PixelData" not in header:
            raise DataError(f"{file}: no pixels")
        if header.get("PhotometricInterpretation") not in MONOCHROME:
            raise DataError(
                f"{file}: expected {' or '.join(MONOCHROME)}, got {header.get('PhotometricInterpretation')}"
            )
        if int(header.get("NumberOfFrames") or 1) > 1:
            raise DataError(f"{file}: expected one picture, got {header.NumberOfFrames} frames")
        return _rescaled(header.pixel_array, header), header
    except DataError:
        raise
    # What pydicom and its decoders raise on broken or unsupported files.
    except (
        InvalidDicomError,
        OSError,
        AttributeError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise DataError(f"{file}: not a readable DICOM file: {error}") from error


def _rescaled(stored: NDArray[Any], header: pydicom.Dataset) -> NDArray[Any]:
    slope, intercept = float(header.get("RescaleSlope", 1.0)), float(header.get("RescaleIntercept", 0.0))
    if (slope, intercept) == (1.0, 0.0) and stored.dtype in (np.uint8, np.uint16):
        return stored
    rescaled: NDArray[np.float32] = (stored * slope + intercept).astype(np.float32)
    return rescaled
