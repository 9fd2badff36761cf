"""Films that the tests make."""

import io

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

PATIENT = "Planted^Name"
PATIENT_ID = "PLANTED-4711"


def film(*, side: int = 64, seed: int = 0, **attributes: object) -> Dataset:
    """A chest film of a planted patient.

    Args:
        side: rows and columns.
        seed: of its levels.
        **attributes: more attributes, or others, by keyword; None leaves one out.
    """
    levels = np.random.default_rng(seed).integers(0, 4096, (side, side), np.uint16)
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.StudyDate = dataset.ContentDate = "20261129"
    dataset.StudyTime = dataset.ContentTime = "101500"
    dataset.PatientName, dataset.PatientID = PATIENT, PATIENT_ID
    dataset.PatientBirthDate, dataset.PatientSex = "19500102", "O"
    dataset.AccessionNumber, dataset.ReferringPhysicianName, dataset.StudyID = "PLANTED-ACC", "Planted^Physician", "1"
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "CR", "CHEST", "PA"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = levels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = levels.tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def content(dataset: Dataset) -> bytes:
    """The DICOM file of an object."""
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()
