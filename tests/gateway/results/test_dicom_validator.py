"""Every result of every kind of film, held to the standard's tables by dicom-validator."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pydicom
import pytest
from dicom_validator.validator.dicom_info import DicomInfo
from dicom_validator.validator.error_handler import NullValidationResultHandler
from dicom_validator.validator.iod_validator import IODValidator
from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.uid import AdvancedBlendingPresentationStateStorage as Blending
from pydicom.uid import Comprehensive3DSRStorage as Report
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage as Outlines
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage as Blink
from pydicom.uid import ParametricMapStorage as NumbersMap
from pydicom.uid import SecondaryCaptureImageStorage as Picture
from pydicom.uid import SegmentationStorage as Segments
from tests.gateway.results.every_kind import ALL_CLASSES, FILMS, SHAPE, difference, file_of, results_of
from tests.gateway.results.explanations import make_explanation, with_verdict
from tests.gateway.results.objects import EVERYTHING, of_class
from tests.gateway.results.standard import dicom_info

from medxgan.client import Orientation, VerdictStatus
from medxgan.client.geometry import Box
from medxgan.gateway.results.outputs import Outputs
from medxgan.gateway.results.series import result_series

pytestmark = pytest.mark.slow

Fault = tuple[str, str, str]
"""SOP class; attribute, by the keywords on the way to it; what dicom-validator says of it."""

_TRANSFORMATION = "SharedFunctionalGroupsSequence.PixelValueTransformationSequence"
_AS_TEXT = "compared as text: 0.0 is the 0, and 1.0 the 1, that are allowed"
_OLD_BLENDING = "the edition of 2020 has no window and no palette of an input; later ones do (C.11.33)"
_OLD_CAPTURE = "the edition of 2020 has no Frame of Reference module in this IOD; later ones do"
_EXTENDED = "a Standard Extended SOP class (PS3.2): nothing of this IOD says how large a pixel is at the detector"
FALSE_ALARMS = {
    (NumbersMap, f"{_TRANSFORMATION}.RescaleIntercept", "EnumValueNotAllowed"): _AS_TEXT,
    (NumbersMap, f"{_TRANSFORMATION}.RescaleSlope", "EnumValueNotAllowed"): _AS_TEXT,
    (Blending, "AdvancedBlendingSequence.SoftcopyVOILUTSequence", "TagUnexpected"): _OLD_BLENDING,
    (Blending, "AdvancedBlendingSequence.PaletteColorLookupTableSequence", "TagUnexpected"): _OLD_BLENDING,
    (Picture, "FrameOfReferenceUID", "TagUnexpected"): _OLD_CAPTURE,
    (Picture, "PositionReferenceIndicator", "TagUnexpected"): _OLD_CAPTURE,
    (Picture, "ImagerPixelSpacing", "TagUnexpected"): _EXTENDED,
    (Picture, "EstimatedRadiographicMagnificationFactor", "TagUnexpected"): _EXTENDED,
    (Blink, "ImagerPixelSpacing", "TagUnexpected"): _EXTENDED,
    (Blink, "EstimatedRadiographicMagnificationFactor", "TagUnexpected"): _EXTENDED,
}

FOUND = {
    "type 1": (Picture, "ConversionType", None, "TagMissing"),
    "type 1, empty": (Picture, "Modality", "", "TagEmpty"),
    "type 1C, by another's value": (Picture, "PlanarConfiguration", None, "TagMissing"),
    "value": (Picture, "BurnedInAnnotation", "MAYBE", "EnumValueNotAllowed"),
    "no attribute of the IOD": (Picture, "SegmentationType", "BINARY", "TagUnexpected"),
    "type 1 of frames": (Blink, "NumberOfFrames", None, "TagMissing"),
    "a report's type 1": (Report, "VerificationFlag", None, "TagMissing"),
    "of a number in a report": (Report, "NumericValue", None, "TagMissing"),
    "value in a content item": (Report, "RelationshipType", "NEAR", "EnumValueNotAllowed"),
    "value that another section lists": (Report, "GraphicType", "SPIRAL", "EnumValueNotAllowed"),
    "mandatory functional group": (NumbersMap, "FrameAnatomySequence", None, "TagMissing"),
    "value in a functional group": (NumbersMap, "FrameLaterality", "X", "EnumValueNotAllowed"),
    "type 2": (Segments, "ContentCreatorName", None, "TagMissing"),
    "type 1C of a segment": (Segments, "SegmentAlgorithmName", None, "TagMissing"),
    "value of a state": (Outlines, "PresentationLUTShape", "ROUND", "EnumValueNotAllowed"),
    "type 1C of a blending": (Blending, "RelativeOpacity", None, "TagMissing"),
}


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> DicomInfo:
    return dicom_info(tmp_path_factory.mktemp("standard"), ALL_CLASSES)


def faults(stored: Dataset, standard: DicomInfo) -> set[Fault]:
    result = IODValidator(stored, standard, error_handler=NullValidationResultHandler()).validate()
    assert result.sop_class_uid in standard.iods
    return {
        (
            stored.SOPClassUID,
            ".".join(keyword_for_tag(each) for each in [*(tag.parents or ()), tag.tag]),
            error.code.name,
        )
        for errors in result.module_errors.values()
        for tag, error in errors.items()
    }


def faults_of(results: list[Dataset], standard: DicomInfo) -> set[Fault]:
    stored = [pydicom.dcmread(io.BytesIO(file_of(result))) for result in results]
    return set().union(*(faults(each, standard) for each in stored))


@pytest.mark.parametrize("name", FILMS)
def test_every_result_is_valid(name: str, standard: DicomInfo) -> None:
    results = results_of(name)
    assert {result.SOPClassUID for result in results} == ALL_CLASSES
    assert faults_of(results, standard) <= FALSE_ALARMS.keys()


def test_so_are_results_of_other_explanations(standard: DicomInfo) -> None:
    film, plain = FILMS["radiograph"], make_explanation(SHAPE, difference())
    turned = make_explanation(SHAPE, difference(), orientation=Orientation.TURNED_180, box=Box(12, 0, 108, 96))
    moving = make_explanation(SHAPE, difference(), trajectory=3)
    for explanation, outputs in (
        (turned, EVERYTHING),
        (moving, replace(EVERYTHING, trajectory=3)),
        (make_explanation(SHAPE, np.zeros((32, 32), np.float32)), EVERYTHING),
        (with_verdict(plain, VerdictStatus.NOT_RELIABLE), Outputs()),
        (make_explanation(SHAPE, difference(), target="Verdichtung, größer"), EVERYTHING),
    ):
        results = result_series(film, explanation, outputs, made_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))
        assert faults_of(results, standard) <= FALSE_ALARMS.keys()


def test_no_false_alarm_is_listed_that_is_not_raised(standard: DicomInfo) -> None:
    raised = (faults_of(results_of(name), standard) for name in ("mammogram", "slice"))
    assert set().union(*raised) == FALSE_ALARMS.keys()


@pytest.mark.parametrize("name", FOUND)
def test_a_fault_is_found(name: str, standard: DicomInfo) -> None:
    sop_class, keyword, value, fault = FOUND[name]
    result = of_class(results_of("radiograph"), sop_class)
    holder = _first_with(keyword, result) or result
    if value is None:
        delattr(holder, keyword)
    else:
        setattr(holder, keyword, value)
    found = {(attribute.rpartition(".")[2], code) for _, attribute, code in faults_of([result], standard)}
    assert (keyword, fault) in found


def _first_with(keyword: str, dataset: Dataset) -> Dataset | None:
    """The dataset that has an attribute: this one, or the first item below it."""
    if keyword in dataset:
        return dataset
    items = (item for element in dataset if element.VR == "SQ" for item in element.value)
    return next((found for item in items if (found := _first_with(keyword, item)) is not None), None)
