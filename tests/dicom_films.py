"""Small DICOM films that tests of their reading are made of."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

ROWS, COLUMNS = 8, 12
LEVELS = np.random.default_rng(3).integers(1, 4095, (ROWS, COLUMNS))


def levels(padding: int | None = None, kind: str = "<u2") -> bytes:
    """Pixels of 12 bits, the outer columns padding."""
    values = LEVELS.copy()
    if padding is not None:
        values[:, :3] = values[:, -2:] = padding
    return values.astype(kind).tobytes()


def write_film(file: Path, **elements: Any) -> None:
    """A film of 12 bits, changed in the elements given."""
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID, film.SOPInstanceUID, film.PatientID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3", "p1"
    film.Rows, film.Columns, film.SamplesPerPixel, film.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 12, 11, 0
    film.PixelData = levels()
    for keyword, value in elements.items():
        setattr(film, keyword, value)
    film.save_as(file, enforce_file_format=True)
