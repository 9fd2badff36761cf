"""The structured report (TID 1500): scores, verdict with its reasons, and the regions with their measurements.

The document is a Comprehensive 3D SR "Imaging Measurement Report", the root that IHE AI Results takes. Its evidence
names every other object that was made of the explanation.
"""

from collections.abc import Iterator, Sequence

from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes as standard

from medxgan.client import Explanation
from medxgan.client.results import Score, VerdictReason
from medxgan.gateway.results import codes
from medxgan.gateway.results.origin import MANUFACTURER, MODEL_NAME, RESEARCH_ONLY, Origin, Series
from medxgan.gateway.results.regions import Region, evidence_kind

REPORT = Series("report", 2, "medxgan: report, research only")


def structured_report(origin: Origin, regions: Sequence[Region], others: Sequence[Dataset]) -> Dataset:
    """The report on an explanation.

    Args:
        origin: of the result.
        regions: to be measured; empty where they are not to be shown.
        others: the other results, which the report refers to.
    """
    explanation, film = origin.explanation, origin.film
    algorithm = sr.AlgorithmIdentification(
        name=origin.algorithm_name,
        version=explanation.model.version,
        parameters=list(_parameters(explanation)),
        manufacturer=MANUFACTURER,
    )
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=origin.uid("device"),
        name=MODEL_NAME,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
        serial_number=explanation.model.bundle_sha256,
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(sr.ObserverContext(standard.DCM.Device, device)),
        procedure_reported=codes.IMAGING,
        title=standard.DCM.ImagingMeasurementReport,
        imaging_measurements=[
            _whole_film(origin, algorithm),
            *(_region(origin, algorithm, number, region) for number, region in enumerate(regions, start=1)),
        ],
    )
    report = sr.Comprehensive3DSR(
        evidence=[film, *others],
        content=content,
        is_complete=True,
        content_qualification="RESEARCH",
        specific_character_set=None,
        coding_schemes=codes.CODING_SCHEMES,
        **origin.identification(REPORT, "report"),
    )
    return origin.finished(report)


def _whole_film(origin: Origin, algorithm: sr.AlgorithmIdentification) -> sr.MeasurementsAndQualitativeEvaluations:
    explanation = origin.explanation
    verdict, original = explanation.verdict.status.value, explanation.scores.original
    decision = "positive" if original.positive else "negative"
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(origin.uid("film"), "film"),
        finding_type=codes.EXPLANATION,
        algorithm_id=algorithm,
        measurements=[*_scores(explanation), *map(_reason, explanation.verdict.reasons)],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(
                codes.DECISION,
                codes.own_code(decision, f"{explanation.settings.target_class} {decision}"),
            ),
            sr.QualitativeEvaluation(
                codes.VERDICT, codes.own_code(verdict.replace("_", "-"), verdict.replace("_", " "))
            ),
        ],
        source_images=[sr.SourceImageForMeasurementGroup.from_source_image(origin.film)],
    )
    sentences = (*(reason.sentence for reason in explanation.verdict.reasons), *explanation.notes, RESEARCH_ONLY)
    group[0].ContentSequence.extend(_comment(sentence) for sentence in sentences)
    return group


def _region(
    origin: Origin, algorithm: sr.AlgorithmIdentification, number: int, region: Region
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    source = sr.SourceImageForRegion.from_source_image(origin.film)
    measurements = [sr.Measurement(codes.AREA, region.area_pixels, codes.PIXELS)]
    if region.area_mm2 is not None:
        measurements.append(sr.Measurement(codes.AREA, round(region.area_mm2, 3), codes.SQUARE_MILLIMETRES))
    measurements += [
        sr.Measurement(codes.DIFFERENCE, round(region.mean_change, 6), codes.NO_UNITS, derivation=codes.MEAN),
        sr.Measurement(codes.DIFFERENCE, round(region.largest_change, 6), codes.NO_UNITS, derivation=codes.MAXIMUM),
    ]
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(origin.uid(f"region {number}"), f"region {number}"),
        referenced_region=sr.ImageRegion(sr.GraphicTypeValues.POLYLINE, region.outline, source),
        finding_type=codes.EVIDENCE_REGION,
        algorithm_id=algorithm,
        measurements=measurements,
    )


def _scores(explanation: Explanation) -> Iterator[sr.Measurement]:
    for name, concept in codes.PROBABILITIES.items():
        score: Score | None = getattr(explanation.scores, name)
        if score is not None:
            yield sr.Measurement(concept, round(score.probability, 6), codes.NO_UNITS)
    yield sr.Measurement(codes.DECISION_THRESHOLD, round(explanation.scores.decision_threshold, 6), codes.NO_UNITS)


def _reason(reason: VerdictReason) -> sr.Measurement:
    """What was measured for a reason of the verdict; its sentence, with the threshold, is a comment beside it."""
    return sr.Measurement(codes.reason(reason.code), reason.measured, codes.NO_UNITS)


def _parameters(explanation: Explanation) -> Iterator[str]:
    """What somebody needs who wants to make the same explanation."""
    settings = explanation.settings
    yield f"bundle SHA-256 {explanation.model.bundle_sha256}"
    yield f"seed {settings.seed}"
    if settings.inversion is not None:
        inversion = settings.inversion
        yield f"steps {inversion.steps}, learning rate {inversion.learning_rate}, restarts {inversion.restarts}"
        yield f"reconstruction weight {inversion.reconstruction_weight}, solver {inversion.solver}"
    yield f"execution provider {explanation.execution.provider}"
    yield f"regions of the map {evidence_kind(explanation).value}, above Otsu's threshold"


def _comment(sentence: str) -> sr.TextContentItem:
    return sr.TextContentItem(standard.DCM.Comment, sentence, sr.RelationshipTypeValues.CONTAINS)
