"""The FHIR bundle: valid R5 by fhir.resources, and true to the film and its results."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from fhir.resources.bundle import Bundle
from tests.gateway.results.explanations import make_explanation, with_verdict
from tests.gateway.results.films import grey_film
from tests.gateway.results.objects import EVERYTHING

from medxgan.client import VerdictReasonCode, VerdictStatus
from medxgan.client.results import VerdictReason
from medxgan.gateway.fhir.bundle import fhir_bundle
from medxgan.gateway.results.series import result_series

SHAPE = (120, 96)
MADE_AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
REASON = VerdictReason(VerdictReasonCode.DIFFERENCE_TOO_WEAK, 0.01, 0.05, "The difference is too weak.")


def explanation():
    values = np.zeros((32, 32), np.float32)
    values[4:12, 6:16] = 0.7
    return make_explanation(SHAPE, values)


def bundle_of(film, of, **arguments: object) -> dict:
    """The bundle, once it has been through JSON and has been found valid."""
    results = result_series(film, of, EVERYTHING)
    made = json.loads(json.dumps(fhir_bundle(film, of, results, **arguments)))
    Bundle.model_validate(made)
    return made


def resources(bundle: dict, kind: str) -> list[dict]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def the(bundle: dict, kind: str) -> dict:
    (resource,) = resources(bundle, kind)
    return resource


FILMS = {
    "radiograph": grey_film(SHAPE),
    "no patient": grey_film(SHAPE, PatientID=None),
    "no dates": grey_film(SHAPE, StudyDate="", ContentTime=None),
    "time zone": grey_film(SHAPE, TimezoneOffsetFromUTC="-0400"),
    "ill-formed time": grey_film(SHAPE, StudyTime="noon"),
    "no numbers": grey_film(SHAPE, SeriesNumber=None, InstanceNumber=None, AccessionNumber=None),
    "issuer": grey_film(SHAPE, IssuerOfPatientID="hospital", StudyDescription="THORAX"),
}


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("status", [VerdictStatus.RELIABLE, VerdictStatus.NOT_RELIABLE])
def test_the_bundle_is_valid(name: str, status: VerdictStatus) -> None:
    bundle = bundle_of(FILMS[name], with_verdict(explanation(), status, REASON), made_at=MADE_AT)
    assert the(bundle, "DiagnosticReport")["status"] == "preliminary"


def test_what_is_wrong_would_be_found() -> None:
    bundle = bundle_of(grey_film(SHAPE), explanation())
    del the(bundle, "ImagingStudy")["status"]
    with pytest.raises(ValueError, match="status"):
        Bundle.model_validate(bundle)


def test_the_study_has_the_film_and_every_result() -> None:
    film, of = grey_film(SHAPE), explanation()
    results = result_series(film, of, EVERYTHING)
    study = the(fhir_bundle(film, of, results), "ImagingStudy")
    assert study["identifier"] == [{"system": "urn:dicom:uid", "value": f"urn:oid:{film.StudyInstanceUID}"}]
    told = {instance["uid"] for series in study["series"] for instance in series["instance"]}
    assert told == {film.SOPInstanceUID, *(result.SOPInstanceUID for result in results)}
    assert study["basedOn"][0]["identifier"]["value"] == "A1"
    assert study["started"] == "2026-01-02"


def test_times_are_stated_with_the_time_zone_of_the_film() -> None:
    bundle = bundle_of(FILMS["time zone"], explanation())
    assert the(bundle, "ImagingStudy")["started"] == "2026-01-02T03:04:05-04:00"
    assert the(bundle, "DiagnosticReport")["effectiveDateTime"] == "2026-01-02T03:05:00-04:00"


def test_the_report_has_scores_decision_and_verdict() -> None:
    bundle = bundle_of(grey_film(SHAPE), with_verdict(explanation(), VerdictStatus.NOT_RELIABLE, REASON))
    report = the(bundle, "DiagnosticReport")
    contained = {resource["id"]: resource for resource in report["contained"]}
    assert contained["p-film"]["valueQuantity"]["value"] == 0.93
    assert contained["p-film"]["interpretation"][0]["coding"][0]["code"] == "POS"
    assert contained["p-negative"]["interpretation"][0]["coding"][0]["code"] == "NEG"
    assert contained["verdict"]["valueCodeableConcept"]["text"] == "not reliable"
    assert contained["model"]["serialNumber"] == "ab" * 32
    for words in ("lung opacity: 0.93, positive.", "not reliable", REASON.sentence, "Research use only."):
        assert words in report["conclusion"]
    # No picture is linked where none was made.
    assert "media" not in report


def test_references_lead_to_resources_of_the_bundle() -> None:
    bundle = bundle_of(grey_film(SHAPE), explanation())
    addresses = {entry["fullUrl"] for entry in bundle["entry"]}
    assert len(addresses) == len(bundle["entry"])
    report = the(bundle, "DiagnosticReport")
    own = {f"#{resource['id']}" for resource in report["contained"]}
    assert {study["reference"] for study in report["study"]} <= addresses
    assert len(report["media"]) == 3
    assert {media["link"]["reference"] for media in report["media"]} <= addresses
    assert {result["reference"] for result in report["result"]} <= own


def test_documents_say_where_the_results_are() -> None:
    film, of = grey_film(SHAPE), explanation()
    results = result_series(film, of, EVERYTHING)
    named = resources(bundle_of(film, of), "DocumentReference")
    assert [document["content"][0]["attachment"]["url"] for document in named] == [
        f"urn:oid:{result.SOPInstanceUID}" for result in results
    ]
    served = resources(bundle_of(film, of, dicomweb="https://archive/dicom-web/"), "DocumentReference")
    first = served[0]["content"][0]["attachment"]
    assert first["url"].startswith(f"https://archive/dicom-web/studies/{film.StudyInstanceUID}/series/2.25.")
    assert first["contentType"] == "application/dicom"


def test_the_patient_is_named_by_the_identifier_alone() -> None:
    text = json.dumps(bundle_of(FILMS["issuer"], explanation(), made_at=MADE_AT))
    assert "42" in text
    assert "hospital" in text
    for told in ("Curie", "Marie", "1867", "Roentgen"):
        assert told not in text


def test_a_repeat_makes_the_same_bundle() -> None:
    assert bundle_of(grey_film(SHAPE), explanation()) == bundle_of(grey_film(SHAPE), explanation())
