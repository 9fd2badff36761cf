"""What the resources have in common: references, codes and times, as FHIR writes them."""

import uuid
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from pydicom import Dataset
from pydicom.valuerep import DA, TM

from medxgan.gateway.results.codes import SCHEME_UID

Resource = dict[str, Any]

DCM = "http://dicom.nema.org/resources/ontology/DCM"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
OWN_CODES = f"urn:oid:{SCHEME_UID}"
"""The codes of the results in DICOM."""
RESEARCH_ONLY = "Research use only. Not a medical device."

_UIDS = "urn:dicom:uid"


def urn(*names: str) -> str:
    """The address, inside of a bundle, of the resource that these DICOM UIDs and words name: always the same one."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(names))}"


def uid_identifier(uid: str) -> Resource:
    """A DICOM UID as Identifier."""
    return {"system": _UIDS, "value": f"urn:oid:{uid}"}


def concept(system: str, code: str, display: str = "") -> Resource:
    """A CodeableConcept of one code."""
    coding = {"system": system, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]}


def subject(film: Dataset) -> Resource:
    """The patient by the identifier that the film has, and by nothing else."""
    if not film.get("PatientID"):
        return {"type": "Patient", "display": "not stated"}
    identifier: Resource = {"value": str(film.PatientID)}
    if film.get("IssuerOfPatientID"):
        identifier["assigner"] = {"display": str(film.IssuerOfPatientID)}
    return {"type": "Patient", "identifier": identifier}


def date_time(film: Dataset, which: str) -> str | None:
    """A date of a film, with its time where it says in which time zone; None where there is none, or no valid one.

    Args:
        film: has WHICHDate and WHICHTime.
        which: "Study", "Content", ...
    """
    try:
        day, moment = DA(film.get(f"{which}Date") or None), TM(film.get(f"{which}Time") or None)
        if day is None:
            return None
        zone = str(film.get("TimezoneOffsetFromUTC") or "")
        if moment is None or not zone:
            return date(day.year, day.month, day.day).isoformat()
        stated = datetime.strptime(f"{day:%Y%m%d}{moment:%H%M%S}{zone}", "%Y%m%d%H%M%S%z")
    except ValueError:
        return None
    return stated.isoformat()


def stated(values: Mapping[str, Any]) -> Resource:
    """The fields that have a value: FHIR knows no empty one."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}
