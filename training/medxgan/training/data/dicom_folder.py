"""Reader of folders of DICOM files; a CSV table says which are positive."""

from pathlib import Path

import numpy as np

from medxgan.training.data.dicom_film import read_dicom_film
from medxgan.training.data.errors import DataError
from medxgan.training.data.samples import LabelledImages
from medxgan.training.data.tables import read_table


def read_dicom_folder(root: Path, labels: Path) -> LabelledImages:
    """Reads the DICOM files that a table names, as the server reads them; others in the folder are left out.

    A file's patient is its PatientID, its source its InstitutionName; both are empty where the file does not say.

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
    films = [read_dicom_film(root / name) for name in label_of]
    return LabelledImages(
        images=[film.levels for film in films],
        labels=np.array([int(label) for label in label_of.values()], dtype=np.uint8),
        patients=tuple(film.patient for film in films),
        sources=tuple(film.source for film in films),
        ids=tuple(label_of),
        inverted=np.array([film.inverted for film in films], dtype=np.bool_),
        pixel_aspects=np.array([film.pixel_aspect for film in films]),
        paddings=tuple(film.padding for film in films),
    )
