"""DocumentReference: where each result is."""

from datetime import datetime

from pydicom import Dataset

from medxgan.gateway.fhir.terms import DCM, RESEARCH_ONLY, Resource, concept, stated, subject, uid_identifier


def document_reference(film: Dataset, result: Dataset, *, made_at: datetime | None, dicomweb: str) -> Resource:
    """A result as a document.

    Args:
        film: whose result it is.
        result: the DICOM object.
        made_at: with its time zone; None where it is not to be stated.
        dicomweb: address of the service that has it; empty to name it by its UID.
    """
    place = f"studies/{result.StudyInstanceUID}/series/{result.SeriesInstanceUID}/instances/{result.SOPInstanceUID}"
    return stated(
        {
            "resourceType": "DocumentReference",
            "identifier": [uid_identifier(result.SOPInstanceUID)],
            "status": "current",
            "docStatus": "preliminary",
            "modality": [concept(DCM, str(result.Modality))],
            "subject": subject(film),
            "date": made_at.isoformat() if made_at is not None and made_at.tzinfo is not None else None,
            "description": f"{result.SeriesDescription}. {RESEARCH_ONLY}",
            "content": [
                {
                    "attachment": {
                        "contentType": "application/dicom",
                        "url": f"{dicomweb.rstrip('/')}/{place}" if dicomweb else f"urn:oid:{result.SOPInstanceUID}",
                        "title": str(result.SeriesDescription),
                    }
                }
            ],
        }
    )
