"""Films of every kind, and their results as an archive reads them."""

import io
from functools import cache
from importlib.resources import files

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.uid import (
    AdvancedBlendingPresentationStateStorage,
    Comprehensive3DSRStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from tests.gateway.results.explanations import make_explanation
from tests.gateway.results.films import grey_film
from tests.gateway.results.objects import EVERYTHING

from medxgan.gateway.results.series import result_series

SHAPE = (120, 96)

ALL_CLASSES = {
    SecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    SegmentationStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    AdvancedBlendingPresentationStateStorage,
    Comprehensive3DSRStorage,
}


def difference() -> np.ndarray:
    values = np.zeros((32, 32), np.float32)
    values[4:12, 6:16] = 0.7
    values[20:28, 20:28] = -0.4
    return values


def slice_of_a_head() -> Dataset:
    return pydicom.dcmread(pydicom.data.get_testdata_file("MR_small.dcm", read=False))


def real_radiograph() -> Dataset:
    """What a real device says of a radiograph, of which every sixteenth pixel is left."""
    film = pydicom.dcmread(str(files("data_store") / "data" / "RG1_UNCR.dcm"))
    pixels = film.pixel_array[::16, ::16]
    film.set_pixel_data(pixels, film.PhotometricInterpretation, film.BitsStored, generate_instance_uid=False)
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return film


def mammogram() -> FileDataset:
    view = Dataset()
    view.CodeValue, view.CodingSchemeDesignator, view.CodeMeaning = "399162004", "SCT", "cranio-caudal"
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "76752008", "SCT", "Breast"
    return grey_film(
        SHAPE,
        SOPClassUID=DigitalMammographyXRayImageStorageForPresentation,
        Modality="MG",
        BodyPartExamined="BREAST",
        ImageLaterality="L",
        PatientOrientation=["A", "R"],
        ViewPosition="CC",
        ViewCodeSequence=[view],
        AnatomicRegionSequence=[region],
        PixelSpacing=None,
        ImagerPixelSpacing=[0.1, 0.1],
        EstimatedRadiographicMagnificationFactor=1.06,
    )


FILMS = {
    "radiograph": grey_film(SHAPE),
    "MONOCHROME1": grey_film(SHAPE, PhotometricInterpretation="MONOCHROME1"),
    "digital radiograph": grey_film(
        SHAPE,
        SOPClassUID=DigitalXRayImageStorageForPresentation,
        Modality="DX",
        PixelSpacing=None,
        ImagerPixelSpacing=[0.15, 0.15],
        ImageLaterality="U",
    ),
    "mammogram": mammogram(),
    "no spacing": grey_film(SHAPE, PixelSpacing=None),
    "not square": grey_film(SHAPE, PixelSpacing=None, PixelAspectRatio=[2, 1]),
    "right hand, lossy": grey_film(
        SHAPE,
        BodyPartExamined="HAND",
        Laterality="R",
        LossyImageCompression="01",
        LossyImageCompressionRatio=10.0,
        LossyImageCompressionMethod="ISO_10918_1",
    ),
    "body part unknown": grey_film(SHAPE, BodyPartExamined=None, PatientOrientation=None),
    "frame of reference without a position": grey_film(SHAPE, FrameOfReferenceUID="1.2.3.4"),
    "no patient": grey_film(SHAPE, PatientID=None, PatientName=None, PatientBirthDate=None, PatientSex=None),
    "slice": slice_of_a_head(),
    "real radiograph": real_radiograph(),
}


def results_of(name: str) -> list[Dataset]:
    """All results of a film, read back; each caller has its own."""
    return [pydicom.dcmread(io.BytesIO(stored)) for stored in _files(name)]


@cache
def _files(name: str) -> tuple[bytes, ...]:
    film = FILMS[name]
    results = result_series(film, make_explanation((film.Rows, film.Columns), difference()), EVERYTHING)
    return tuple(file_of(result) for result in results)


def file_of(result: Dataset) -> bytes:
    file = io.BytesIO()
    result.save_as(file, enforce_file_format=True)
    return file.getvalue()
