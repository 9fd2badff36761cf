"""The structured report (TID 1500): scores, verdict with its reasons, and the regions with their measurements.

The document is a Comprehensive 3D SR "Imaging Measurement Report", the root that IHE AI Results takes. Its evidence
names every other object that was made of the explanation.
"""

from collections.abc import Iterator, Sequence

from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes

from medxgan.client import Explanation
from medxgan.client.results import Score, VerdictReason
from medxgan.gateway.results.origin import MANUFACTURER, MODEL_NAME, RESEARCH_ONLY, Origin, Series
from medxgan.gateway.results.regions import Region, evidence_kind

REPORT = Series("report", 2, "medxgan: report, research only")

SCHEME = "99MEDXGAN"
"""Designator of the codes that no public scheme has; they are listed in docs/gateway-results.md."""

_AREA = sr.CodedConcept("42798000", "SCT", "Area")
_MEAN = sr.CodedConcept("373098007", "SCT", "Mean")
_MAXIMUM = sr.CodedConcept("56851009", "SCT", "Maximum")
_IMAGING = sr.CodedConcept("363679005", "SCT", "Imaging")
_NO_UNITS = sr.CodedConcept("1", "UCUM", "no units")
_PIXELS = sr.CodedConcept("{pixels}", "UCUM", "pixels")
_SQUARE_MILLIMETRES = sr.CodedConcept("mm2", "UCUM", "square millimeter")

_FINDING = sr.CodedConcept("explanation", SCHEME, "Explanation of a classifier's score")
_REGION = sr.CodedConcept("evidence-region", SCHEME, "Region that the classifier's score rests on")
_CHANGE = sr.CodedConcept("difference", SCHEME, "Reconstruction minus negative realization")
_THRESHOLD = sr.CodedConcept("decision-threshold", SCHEME, "Probability from which an image is positive")
_DECISION = sr.CodedConcept("decision", SCHEME, "Decision of the classifier")
_VERDICT = sr.CodedConcept("verdict", SCHEME, "Verdict on the explanation")

_PROBABILITIES = {
    "original": "Probability of the film",
    "reconstruction": "Probability of the reconstruction",
    "negative_realization": "Probability of the negative realization",
    "applied_negative": "Probability of the film less the difference",
}
_CODE_MEANING = 64
"""Most characters of a Code Meaning."""


def structured_report(origin: Origin, regions: Sequence[Region], others: Sequence[Dataset]) -> Dataset:
    """The report on an explanation.

    Args:
        origin: of the result.
        regions: to be measured; empty where they are not to be shown.
        others: the other results, which the report refers to.
    """
    explanation, film = origin.explanation, origin.film
    algorithm = sr.AlgorithmIdentification(
        name=f"medxgan {explanation.model.name}",
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
        observation_context=sr.ObservationContext(sr.ObserverContext(codes.DCM.Device, device)),
        procedure_reported=_IMAGING,
        title=codes.DCM.ImagingMeasurementReport,
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
        **origin.identification(REPORT, "report"),
    )
    return origin.finished(report)


def _whole_film(origin: Origin, algorithm: sr.AlgorithmIdentification) -> sr.MeasurementsAndQualitativeEvaluations:
    explanation = origin.explanation
    verdict, original = explanation.verdict.status.value, explanation.scores.original
    decision = "positive" if original.positive else "negative"
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(origin.uid("film"), "film"),
        finding_type=_FINDING,
        algorithm_id=algorithm,
        measurements=[*_scores(explanation), *map(_reason, explanation.verdict.reasons)],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(
                _DECISION,
                sr.CodedConcept(decision, SCHEME, _meaning(f"{explanation.settings.target_class} {decision}")),
            ),
            sr.QualitativeEvaluation(
                _VERDICT, sr.CodedConcept(verdict.replace("_", "-"), SCHEME, verdict.replace("_", " "))
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
    measurements = [sr.Measurement(_AREA, region.area_pixels, _PIXELS)]
    if region.area_mm2 is not None:
        measurements.append(sr.Measurement(_AREA, round(region.area_mm2, 3), _SQUARE_MILLIMETRES))
    measurements += [
        sr.Measurement(_CHANGE, round(region.mean_change, 6), _NO_UNITS, derivation=_MEAN),
        sr.Measurement(_CHANGE, round(region.largest_change, 6), _NO_UNITS, derivation=_MAXIMUM),
    ]
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(origin.uid(f"region {number}"), f"region {number}"),
        referenced_region=sr.ImageRegion(sr.GraphicTypeValues.POLYLINE, region.outline, source),
        finding_type=_REGION,
        algorithm_id=algorithm,
        measurements=measurements,
    )


def _scores(explanation: Explanation) -> Iterator[sr.Measurement]:
    for name, meaning in _PROBABILITIES.items():
        score: Score | None = getattr(explanation.scores, name)
        if score is not None:
            concept = sr.CodedConcept(f"probability-{name.split('_')[0]}", SCHEME, meaning)
            yield sr.Measurement(concept, round(score.probability, 6), _NO_UNITS)
    yield sr.Measurement(_THRESHOLD, round(explanation.scores.decision_threshold, 6), _NO_UNITS)


def _reason(reason: VerdictReason) -> sr.Measurement:
    """What was measured for a reason of the verdict; the sentence with its threshold stands beside it as a comment."""
    name = reason.code.value
    code = name[:16]
    return sr.Measurement(sr.CodedConcept(code, SCHEME, _meaning(name.replace("_", " "))), reason.measured, _NO_UNITS)


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
    return sr.TextContentItem(codes.DCM.Comment, sentence, sr.RelationshipTypeValues.CONTAINS)


def _meaning(words: str) -> str:
    return words[:_CODE_MEANING]
