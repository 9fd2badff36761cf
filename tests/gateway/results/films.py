"""Radiographs that the tests write themselves, and what is drawn on them."""

import numpy as np
from pydicom.config import disable_value_validation
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian


def make_film(
    stored: np.ndarray, *, bits: int = 12, photometric: str = "MONOCHROME2", **attributes: object
) -> FileDataset:
    """A computed radiograph of these stored values [rows, columns]; attributes of None are left out."""
    film = FileDataset("", {}, preamble=bytes(128), file_meta=FileMetaDataset())
    film.SOPClassUID, film.SOPInstanceUID = ComputedRadiographyImageStorage, UID("1.2.826.0.1.3680043.8.498.1")
    film.file_meta.MediaStorageSOPClassUID = film.SOPClassUID
    film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.StudyInstanceUID, film.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.2", "1.2.826.0.1.3680043.8.498.3"
    film.PatientName, film.PatientID, film.PatientBirthDate, film.PatientSex = "Curie^Marie", "42", "18671107", "F"
    film.StudyDate, film.StudyTime, film.StudyID, film.AccessionNumber = "20260102", "030405", "7", "A1"
    film.ReferringPhysicianName = "Roentgen^Wilhelm"
    film.ContentDate, film.ContentTime, film.Modality = "20260102", "030500", "CR"
    film.SeriesNumber, film.InstanceNumber, film.Manufacturer = 3, 1, "nobody"
    film.BodyPartExamined, film.ViewPosition, film.PatientOrientation = "CHEST", "PA", ["L", "F"]
    film.PixelSpacing = [0.2, 0.2]
    film.SamplesPerPixel, film.PhotometricInterpretation = 1, photometric
    film.Rows, film.Columns = stored.shape
    film.PixelRepresentation = int(stored.dtype.kind == "i")
    film.BitsAllocated, film.BitsStored, film.HighBit = stored.dtype.itemsize * 8, bits, bits - 1
    film.PixelData = stored.tobytes() + bytes(stored.nbytes % 2)
    film["PixelData"].VR = "OW" if stored.dtype.itemsize == 2 else "OB"
    with disable_value_validation():
        for keyword, value in attributes.items():
            film.pop(keyword, None)
            if value is not None:
                setattr(film, keyword, value)
    return film


def grey_film(shape: tuple[int, int], level: int = 1600, **attributes: object) -> FileDataset:
    """A film of one grey level of 4096, whose window is all of them."""
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    return make_film(np.full(shape, level, np.uint16), **window | attributes)


def spot(shape: tuple[int, int], centre: tuple[float, float], width: float = 12.0) -> np.ndarray:
    """A bell on a film of that shape; `centre` is a row and a column between pixel edges."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    squares = (rows + 0.5 - centre[0]) ** 2 + (columns + 0.5 - centre[1]) ** 2
    return np.exp(-squares / (2 * width**2)).astype(np.float32)


def centre_of_mass(weights: np.ndarray) -> tuple[float, float]:
    """Row and column, between pixel edges."""
    rows, columns = (np.arange(side) + 0.5 for side in weights.shape)
    total = weights.sum()
    return float(weights.sum(1) @ rows / total), float(weights.sum(0) @ columns / total)
