"""All resources of an explanation, in one FHIR R5 Bundle."""

from collections.abc import Sequence
from datetime import datetime

from pydicom import Dataset

from medxgan.client import Explanation
from medxgan.gateway.fhir.diagnostic_report import diagnostic_report
from medxgan.gateway.fhir.documents import document_reference
from medxgan.gateway.fhir.imaging_study import imaging_study
from medxgan.gateway.fhir.terms import Resource, urn
from medxgan.gateway.results.ill_formed import unquoted


def fhir_bundle(
    film: Dataset,
    explanation: Explanation,
    results: Sequence[Dataset],
    *,
    made_at: datetime | None = None,
    dicomweb: str = "",
) -> Resource:
    """ImagingStudy, DiagnosticReport and one DocumentReference for each result: a Bundle of the type "collection".

    The patient is named by the identifier that the film has. A repeat makes the same bundle.

    Args:
        film: as it was received.
        explanation: of it.
        results: what `result_series` made of it.
        made_at: when, with a time zone; None where it is not to be stated.
        dicomweb: address of the DICOMweb service that has the results, "https://archive/dicom-web"; empty to name
            them by their UIDs.

    Returns:
        What `json.dump` takes.
    """
    with unquoted():
        return _bundle(film, explanation, results, made_at, dicomweb)


def _bundle(
    film: Dataset, explanation: Explanation, results: Sequence[Dataset], made_at: datetime | None, dicomweb: str
) -> Resource:
    resources = {
        urn(film.StudyInstanceUID): imaging_study(film, results),
        urn(film.SOPInstanceUID, explanation.model.bundle_sha256, "report"): diagnostic_report(
            film, explanation, results, made_at=made_at
        ),
    }
    for result in results:
        resources[urn(result.SOPInstanceUID)] = document_reference(film, result, made_at=made_at, dicomweb=dicomweb)
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": address, "resource": resource} for address, resource in resources.items()],
    }
