"""A picture in colour, or several, as Secondary Capture: what every viewer shows."""

from collections.abc import Sequence

from highdicom import SOPClass
from pydicom import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from medxgan.gateway.results.origin import RESEARCH_ONLY, Origin, Series
from medxgan.gateway.results.overlay import ColourPicture

PICTURES = Series("pictures", 1, "medxgan: difference over the film, research only")

_SPACING = (
    "PixelSpacing",
    "ImagerPixelSpacing",
    "PixelAspectRatio",
    "PixelSpacingCalibrationType",
    "PixelSpacingCalibrationDescription",
    "EstimatedRadiographicMagnificationFactor",
)
_PLACE = (
    "PatientOrientation",
    "AnatomicRegionSequence",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
)
_LOSS = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def single(origin: Origin, picture: ColourPicture, kind: str, number: int, derivation: str) -> Dataset:
    """A Secondary Capture image of a picture [rows, columns, 3] uint8."""
    result = _capture(origin, SecondaryCaptureImageStorage, [picture], kind, number, derivation)
    return origin.finished(result)


def cine(
    origin: Origin, pictures: Sequence[ColourPicture], kind: str, number: int, derivation: str, milliseconds: float
) -> Dataset:
    """A multi-frame true colour Secondary Capture image that a viewer plays there and back.

    Args:
        origin: of the result.
        pictures: [rows, columns, 3] uint8 each.
        kind: its name in derived UIDs.
        number: Instance Number.
        derivation: how the pictures were made, a sentence.
        milliseconds: that each picture is shown for.
    """
    result = _capture(origin, MultiFrameTrueColorSecondaryCaptureImageStorage, pictures, kind, number, derivation)
    result.NumberOfFrames = len(pictures)
    result.FrameIncrementPointer = 0x00181063  # Frame Time
    result.FrameTime = milliseconds
    result.RecommendedDisplayFrameRate = max(1, round(1000 / milliseconds))
    result.PreferredPlaybackSequencing = 1  # there and back
    return origin.finished(result)


def _capture(
    origin: Origin, sop_class: str, pictures: Sequence[ColourPicture], kind: str, number: int, derivation: str
) -> SOPClass:
    source = origin.source
    result = SOPClass(
        study_instance_uid=source.StudyInstanceUID,
        sop_class_uid=sop_class,
        modality="OT",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_qualification="RESEARCH",
        **origin.identification(PICTURES, kind, number),
    )
    result.ConversionType = "WSD"
    result.ImageType = ["DERIVED", "SECONDARY"]
    result.BurnedInAnnotation = "YES"
    result.ImageComments = RESEARCH_ONLY
    result.DerivationDescription = derivation
    result.SourceImageSequence = [origin.source_reference()]
    result.PatientOrientation = None
    origin.copy_to(result, (*_SPACING, *_PLACE, *_LOSS, "RecognizableVisualFeatures"))
    if "FrameOfReferenceUID" in result and "PositionReferenceIndicator" not in result:
        result.PositionReferenceIndicator = None

    rows, columns, samples = pictures[0].shape
    result.Rows, result.Columns, result.SamplesPerPixel = rows, columns, samples
    result.PhotometricInterpretation, result.PlanarConfiguration = "RGB", 0
    result.BitsAllocated, result.BitsStored, result.HighBit, result.PixelRepresentation = 8, 8, 7, 0
    pixels = b"".join(picture.tobytes() for picture in pictures)
    result.PixelData = pixels + bytes(len(pixels) % 2)
    return result
