"""The structured report, read by highdicom, and as text by dcmtk."""

from pathlib import Path

import numpy as np
import pytest
from highdicom import sr
from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage
from tests.gateway.results.explanations import make_explanation, with_verdict
from tests.gateway.results.films import grey_film
from tests.gateway.results.objects import of_class, saved
from tests.gateway.results.programs import Program

from medxgan.client import PixelSpacing, Unrecognised, VerdictReasonCode, VerdictStatus
from medxgan.client.results import VerdictReason
from medxgan.gateway.results import codes
from medxgan.gateway.results.outputs import Outputs
from medxgan.gateway.results.series import result_series

SHAPE = (320, 240)
REASON = VerdictReason(
    VerdictReasonCode.NEGATIVE_IS_POSITIVE, 0.61, 0.5, "The classifier still calls the negative realization positive."
)


def square(value: float = 0.8) -> np.ndarray:
    values = np.zeros((32, 32), np.float32)
    values[8:20, 10:20] = value
    return values


def report_of(explanation, **attributes: object) -> sr.Comprehensive3DSR:
    results = result_series(grey_film(SHAPE, **attributes), explanation, Outputs())
    return sr.Comprehensive3DSR.from_dataset(of_class(results, Comprehensive3DSRStorage))


def whole_film(report: sr.Comprehensive3DSR) -> sr.MeasurementsAndQualitativeEvaluations:
    (group,) = report.content.get_image_measurement_groups()
    return group


def regions(report: sr.Comprehensive3DSR) -> list[sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    return report.content.get_planar_roi_measurement_groups()


def measured(group) -> dict[tuple[str, str], float]:
    return {
        (measurement.name.value, measurement.unit.value): measurement.value for measurement in group.get_measurements()
    }


def comments(report: Dataset) -> list[str]:
    (container,) = [item for item in report.ContentSequence if item.ValueType == "CONTAINER"]
    return [
        item.TextValue
        for item in container.ContentSequence[0].ContentSequence
        if item.get("TextValue") and item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"
    ]


def test_scores_decision_and_verdict_are_told() -> None:
    group = whole_film(report_of(make_explanation(SHAPE, square())))
    values = measured(group)
    assert values[codes.PROBABILITIES["original"].value, "1"] == pytest.approx(0.93)
    assert values[codes.PROBABILITIES["negative_realization"].value, "1"] == pytest.approx(0.11)
    assert values[codes.DECISION_THRESHOLD.value, "1"] == pytest.approx(0.5)
    told = {evaluation.name.value: evaluation.value for evaluation in group.get_qualitative_evaluations()}
    assert told["decision"].value == "positive"
    assert told["decision"].meaning == "lung opacity positive"
    assert told["verdict"].value == "reliable"
    (image,) = group.source_images
    assert image.referenced_sop_instance_uid == grey_film(SHAPE).SOPInstanceUID


def test_the_algorithm_is_identified_to_the_bundle() -> None:
    report = report_of(make_explanation(SHAPE, square()))
    for group in (whole_film(report), *regions(report)):
        texts = {
            (item.name.meaning, item.value) for item in group[0].ContentSequence if isinstance(item, sr.TextContentItem)
        }
        assert ("Algorithm Name", "medxgan chest") in texts
        assert ("Algorithm Version", "5") in texts
        assert ("Algorithm Parameters", "bundle SHA-256 " + "ab" * 32) in texts
        assert ("Algorithm Parameters", "seed 0") in texts


def test_a_region_has_its_outline_and_its_measurements() -> None:
    report = report_of(make_explanation(SHAPE, square(), spacing=PixelSpacing(0.2, 0.1)))
    (group,) = regions(report)
    values = {
        (m.name.value, m.unit.value, m.derivation.meaning if m.derivation else ""): m.value
        for m in group.get_measurements()
    }
    area = values[codes.AREA.value, "{pixels}", ""]
    assert area == pytest.approx(120 * 75, rel=0.25)
    assert values[codes.AREA.value, "mm2", ""] == pytest.approx(area * 0.02)
    assert 0 < values["difference", "1", "Mean"] <= 0.8
    assert values["difference", "1", "Maximum"] == pytest.approx(0.8, rel=1e-4)
    corners = group.roi.value
    assert group.roi.graphic_type.value == "POLYLINE"
    # Columns 10 to 20 and rows 8 to 20 of a map of 32, on a film of 320 rows and 240 columns.
    assert corners.mean(axis=0) == pytest.approx((15 * 7.5, 14 * 10), abs=12)


def test_an_area_in_millimetres_is_left_out_where_the_spacing_is_not_known() -> None:
    (group,) = regions(report_of(make_explanation(SHAPE, square(), spacing=None), PixelSpacing=None))
    assert "mm2" not in {unit for _, unit in measured(group)}


def test_a_verdict_has_its_reasons_measured_and_in_words() -> None:
    explanation = with_verdict(make_explanation(SHAPE, square()), VerdictStatus.NOT_RELIABLE, REASON)
    report = report_of(explanation)
    group = whole_film(report)
    assert measured(group)["negative-pos", "1"] == pytest.approx(0.61)
    told = {evaluation.name.value: evaluation.value.value for evaluation in group.get_qualitative_evaluations()}
    assert told["verdict"] == "not-reliable"
    assert REASON.sentence in comments(report)
    assert "Research use only. Not a medical device." in comments(report)
    # Regions are a map by other means.
    assert regions(report) == []


def test_what_the_client_does_not_know_is_reported_as_it_reads() -> None:
    reason = VerdictReason(Unrecognised(17), 1.5, 1.0, "Something new.")  # type: ignore[arg-type]
    explanation = with_verdict(make_explanation(SHAPE, square()), Unrecognised(9), reason)  # type: ignore[arg-type]
    report = report_of(explanation)
    assert measured(whole_film(report))["reason-17", "1"] == pytest.approx(1.5)
    told = {evaluation.name.value: evaluation.value for evaluation in whole_film(report).get_qualitative_evaluations()}
    assert told["verdict"].meaning == "unrecognised (9)"


def test_every_reason_has_a_code_of_its_own() -> None:
    concepts = [codes.reason(code) for code in VerdictReasonCode]
    assert len({concept.value for concept in concepts}) == len(VerdictReasonCode)
    assert all(len(concept.value) <= 16 and len(concept.meaning) <= 64 for concept in concepts)
    own = {
        concept.value for concept in vars(codes).values() if getattr(concept, "scheme_designator", "") == "99MEDXGAN"
    }
    assert all(len(value) <= 16 for value in own)


def test_the_report_refers_to_every_other_result() -> None:
    film = grey_film(SHAPE)
    results = result_series(film, make_explanation(SHAPE, square()), Outputs(presentation_state=True))
    report = results[-1]
    assert report.SOPClassUID == Comprehensive3DSRStorage
    evidence = {str(instance) for _, _, instance, _ in sr.Comprehensive3DSR.from_dataset(report).get_evidence()}
    assert evidence == {film.SOPInstanceUID, *(str(result.SOPInstanceUID) for result in results[:-1])}


def test_dcmtk_reads_it(program: Program, tmp_path: Path) -> None:
    explanation = with_verdict(make_explanation(SHAPE, square()), VerdictStatus.NOT_RELIABLE, REASON)
    results = result_series(grey_film(SHAPE), explanation, Outputs(show_unreliable=True, blink=False))
    done = program("dsrdump", "+Pl", saved(results, tmp_path)[-1])
    assert done.returncode == 0
    assert done.stderr == ""
    for words in ("Imaging Measurement Report", "not reliable", REASON.sentence, "Curie"):
        assert words in done.stdout
