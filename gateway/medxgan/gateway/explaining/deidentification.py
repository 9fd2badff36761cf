"""What leaves this machine of a film: its pixels, and what says how to read them.

The library dicom-anonymizer applies the basic profile of DICOM PS3.15, annex E. A profile leaves what it does not know,
so all but a list of attributes, none of which says who somebody is, is left out first. Writing that is burnt into the
pixels stays there.
"""

import io

import pydicom
from dicomanonymizer import simpledicomanonymizer
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import generate_uid

PROFILE = "dicomfields_2026c"
"""The edition of PS3.15 that the library's tables are of."""

_KEPT = (
    "SOPClassUID",
    "Modality",
    # Image Pixel
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
    "PixelData",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    # how large a pixel is
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "PixelAspectRatio",
    # from stored values to what is displayed
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PresentationLUTShape",
    "ShutterShape",
)
_KEPT_TABLES = ("ModalityLUTSequence", "VOILUTSequence")
_KEPT_OF_TABLES = ("LUTDescriptor", "LUTData", "ModalityLUTType")


class BurnedInError(Exception):
    """A film says that its pixels show who somebody is: it does not leave."""


def de_identified(film: Dataset) -> bytes:
    """A DICOM file with a film's pixels and nothing of its patient.

    Raises:
        BurnedInError: the film says that such is burnt into its pixels.
    """
    if film.get("BurnedInAnnotation") == "YES":
        raise BurnedInError
    left = _only(film, _KEPT)
    for keyword in _KEPT_TABLES:
        if keyword in film:
            setattr(left, keyword, [_only(item, _KEPT_OF_TABLES) for item in film[keyword].value])
    simpledicomanonymizer.anonymize_dataset(left, base_rules_gen=_rules)
    left.SOPInstanceUID = generate_uid()
    left.file_meta = FileMetaDataset()
    left.file_meta.TransferSyntaxUID = film.file_meta.TransferSyntaxUID
    content = io.BytesIO()
    pydicom.dcmwrite(content, left, enforce_file_format=True)
    return content.getvalue()


def _only(dataset: Dataset, keywords: tuple[str, ...]) -> Dataset:
    left = Dataset()
    for keyword in keywords:
        if keyword in dataset:
            left.add(dataset[keyword])
    return left


def _rules() -> object:
    return simpledicomanonymizer.initialize_actions(PROFILE)
