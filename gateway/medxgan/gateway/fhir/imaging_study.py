"""ImagingStudy: the film's series and those of the results, as far as they are known here."""

from collections.abc import Sequence

from pydicom import Dataset

from medxgan.gateway.fhir.terms import DCM, Resource, concept, date_time, stated, subject, uid_identifier


def imaging_study(film: Dataset, results: Sequence[Dataset]) -> Resource:
    """The study of a film, with the film and its results; of its other instances nothing is said."""
    series: dict[str, list[Dataset]] = {}
    for instance in (film, *results):
        series.setdefault(str(instance.SeriesInstanceUID), []).append(instance)
    modalities = list(
        dict.fromkeys(str(instance.Modality) for instance in (film, *results) if instance.get("Modality"))
    )
    accession = film.get("AccessionNumber")
    return stated(
        {
            "resourceType": "ImagingStudy",
            "identifier": [uid_identifier(film.StudyInstanceUID)],
            "status": "available",
            "modality": [concept(DCM, modality) for modality in modalities],
            "subject": subject(film),
            "started": date_time(film, "Study"),
            "basedOn": [_order(str(accession))] if accession else [],
            "description": str(film.get("StudyDescription") or ""),
            "series": [_series(uid, instances) for uid, instances in series.items()],
        }
    )


def _order(accession: str) -> Resource:
    kind = concept("http://terminology.hl7.org/CodeSystem/v2-0203", "ACSN")
    return {"type": "ServiceRequest", "identifier": {"type": kind, "value": accession}}


def _series(uid: str, instances: Sequence[Dataset]) -> Resource:
    first = instances[0]
    number = first.get("SeriesNumber")
    return stated(
        {
            "uid": uid,
            "number": int(number) if number is not None and int(number) >= 0 else None,
            "modality": concept(DCM, str(first.get("Modality") or "OT")),
            "description": str(first.get("SeriesDescription") or ""),
            "instance": [_instance(instance) for instance in instances],
        }
    )


def _instance(instance: Dataset) -> Resource:
    number = instance.get("InstanceNumber")
    return stated(
        {
            "uid": str(instance.SOPInstanceUID),
            "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{instance.SOPClassUID}"},
            "number": int(number) if number is not None and int(number) >= 0 else None,
        }
    )
