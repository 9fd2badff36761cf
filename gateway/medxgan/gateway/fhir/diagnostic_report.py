"""DiagnosticReport: scores, decision and verdict, with the pictures and the study that they are of."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from pydicom import Dataset

from medxgan.client import Explanation, Score
from medxgan.gateway.fhir.terms import (
    LOINC,
    OWN_CODES,
    RESEARCH_ONLY,
    UCUM,
    Resource,
    concept,
    date_time,
    stated,
    subject,
    uid_identifier,
    urn,
)
from medxgan.gateway.results.codes import PROBABILITIES

_PICTURES = "OT"


def diagnostic_report(
    film: Dataset, explanation: Explanation, results: Sequence[Dataset], *, made_at: datetime | None
) -> Resource:
    """The report on an explanation; it is preliminary, since nobody has looked at it.

    Args:
        film: as it was received.
        explanation: of it.
        results: the DICOM objects made of the explanation, which the report refers to.
        made_at: with its time zone; None where it is not to be stated.
    """
    observations = [*_scores(film, explanation), _verdict(film, explanation)]
    reports = [result for result in results if result.Modality == "SR"]
    pictures = [result for result in results if result.Modality == _PICTURES]
    return stated(
        {
            "resourceType": "DiagnosticReport",
            "contained": [_model(explanation), *observations],
            "identifier": [uid_identifier(report.SOPInstanceUID) for report in reports],
            "status": "preliminary",
            "category": [concept("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD", "Radiology")],
            "code": concept(LOINC, "18748-4", "Diagnostic imaging study"),
            "subject": subject(film),
            "effectiveDateTime": date_time(film, "Content") or date_time(film, "Study"),
            "issued": made_at.isoformat() if made_at is not None and made_at.tzinfo is not None else None,
            "study": [{"reference": urn(film.StudyInstanceUID)}],
            "result": [{"reference": f"#{observation['id']}"} for observation in observations],
            "media": [{"link": {"reference": urn(picture.SOPInstanceUID)}} for picture in pictures],
            "conclusion": _conclusion(explanation),
        }
    )


def _model(explanation: Explanation) -> Resource:
    model = explanation.model
    return {
        "resourceType": "Device",
        "id": "model",
        "manufacturer": "medxgan",
        "serialNumber": model.bundle_sha256,
        "name": [{"value": f"medxgan {model.name}", "type": "user-friendly-name"}],
        "version": [{"value": model.version}],
    }


def _scores(film: Dataset, explanation: Explanation) -> Iterator[Resource]:
    for name, code in PROBABILITIES.items():
        score: Score | None = getattr(explanation.scores, name)
        if score is None:
            continue
        yield _observation(film, code.value, f"{code.meaning}: {explanation.settings.target_class}") | {
            "valueQuantity": {"value": round(score.probability, 6), "system": UCUM, "code": "1"},
            "interpretation": [
                concept(
                    "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
                    "POS" if score.positive else "NEG",
                )
            ],
        }


def _verdict(film: Dataset, explanation: Explanation) -> Resource:
    verdict = explanation.verdict
    return _observation(film, "verdict", "Verdict on the explanation") | stated(
        {
            "valueCodeableConcept": {"text": verdict.status.value.replace("_", " ")},
            "note": [{"text": reason.sentence} for reason in verdict.reasons],
        }
    )


def _observation(film: Dataset, code: str, display: str) -> Resource:
    return {
        "resourceType": "Observation",
        "id": code,
        "status": "preliminary",
        "code": concept(OWN_CODES, code, display) | {"text": display},
        "subject": subject(film),
        "device": {"reference": "#model"},
    }


def _conclusion(explanation: Explanation) -> str:
    """The decision and the verdict in words, as the structured report has them."""
    score, words = explanation.scores.original, explanation.verdict.status.value.replace("_", " ")
    decision = "positive" if score.positive else "negative"
    return " ".join(
        [
            f"{explanation.settings.target_class}: {score.probability:.2f}, {decision}.",
            f"Explanation: {words}.",
            *(reason.sentence for reason in explanation.verdict.reasons),
            RESEARCH_ONLY,
        ]
    )
