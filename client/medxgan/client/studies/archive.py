"""The films of a study in an archive that speaks DICOMweb (PS3.18)."""

import io
from pathlib import Path

import requests
from dicomweb_client.uri import URI
from dicomweb_client.web import DICOMwebClient
from pydicom import dcmwrite
from pydicom.dataset import Dataset

from medxgan.client.loopback import keeps_films_private
from medxgan.client.studies.errors import StudyError, TooLongError
from medxgan.client.studies.films import Film, Skipped, no_film
from medxgan.client.studies.search import FIELDS, PAGE, FoundStudies, StudyQuery, found_study
from medxgan.client.studies.session import TooLongAnswer, archive_session
from medxgan.client.studies.unquoted import unquoted

TIMEOUT_S = 60.0
"""Seconds for each answer."""

_ANY_ENCODING = (("application/dicom", "*"),)
_UNEXPECTED = (requests.RequestException, ValueError, KeyError, TypeError, AttributeError)
"""What comes of an answer that is none, or another than the standard's."""


class Archive:
    """An archive, asked over HTTP.

    Args:
        url: of DICOMweb, https://archive.example/dicom-web; http on loopback alone, since films are patient data.
        user: for HTTP's basic authentication; None asks without.
        password_file: file with the password; read now.
        most_bytes: of an answer, a film's and its envelope or the headers of a study; None for any number.

    Raises:
        StudyError: the address can't be used, or the file can't be read.
    """

    def __init__(
        self, url: str, user: str | None = None, password_file: Path | None = None, *, most_bytes: int | None = None
    ) -> None:
        if not keeps_films_private(url):
            raise StudyError(f"{url}: expected an https:// address, or an http:// one on loopback")
        try:
            session = archive_session(user, password_file, TIMEOUT_S, most_bytes)
        except (OSError, UnicodeDecodeError) as error:
            raise StudyError(f"{password_file}: no password can be read there") from error
        session.hooks["response"].append(_unwarned)
        self._client = DICOMwebClient(url, session=session)
        self._client.set_http_retry_params(retry=False)

    def films(self, study: str, series: str | None = None, *, several_frames: bool = False) -> list[Film | Skipped]:
        """What a study holds, or one of its series, by series and instance number.

        Raises:
            StudyError: the archive does not answer, or does not have it.
        """
        try:
            found = (
                self._client.retrieve_study_metadata(study)
                if series is None
                else self._client.retrieve_series_metadata(study, series)
            )
            with unquoted():
                headers = sorted((Dataset.from_json(each, _no_bulk_data) for each in found), key=_place)
            return [self._judged(study, header, several_frames) for header in headers]
        except _UNEXPECTED as error:
            raise StudyError(_told(error)) from error

    def search(self, query: StudyQuery, offset: int = 0) -> FoundStudies:
        """A page of the studies that a query finds (QIDO-RS), in the order of the archive.

        Args:
            query: what is searched for.
            offset: studies that were told before.

        Raises:
            StudyError: the archive does not answer, or finds what was not searched for.
        """
        try:
            # One more than is told says whether there are more.
            answers = self._client.search_for_studies(
                limit=PAGE + 1, offset=offset, fields=FIELDS, search_filters=query.filters
            )
            with unquoted():
                found = [found_study(Dataset.from_json(each, _no_bulk_data)) for each in answers]
        except _UNEXPECTED as error:
            raise StudyError(_told(error, "the archive can't be searched")) from error
        if not all(query.fits(study) for study in found):
            raise StudyError(
                "the archive finds studies that were not searched for: it does not match all that is asked"
            )
        return FoundStudies(found[:PAGE], more=len(found) > PAGE, cut=len(found) > PAGE + 1)

    def _judged(self, study: str, header: Dataset, several_frames: bool) -> Film | Skipped:
        instance, series = str(header.SOPInstanceUID), str(header.SeriesInstanceUID)
        if reason := no_film(header, several_frames=several_frames):
            return Skipped(instance, reason)
        return Film(instance, lambda: self._fetched(study, series, instance))

    def _fetched(self, study: str, series: str, instance: str) -> bytes:
        content = io.BytesIO()
        try:
            with unquoted():
                film = self._client.retrieve_instance(study, series, instance, media_types=_ANY_ENCODING)
                dcmwrite(content, film, enforce_file_format=True)
        except TooLongAnswer as error:
            raise TooLongError("the archive sends a larger film than is taken") from error
        except _UNEXPECTED as error:
            raise StudyError(_told(error)) from error
        return content.getvalue()


def study_at(address: str) -> tuple[str, str, str | None]:
    """The archive's address, the study's UID and the series', of https://archive/dicom-web/studies/UID[/series/UID].

    Raises:
        StudyError: it is the address of no study.
    """
    try:
        uri = URI.from_string(address.rstrip("/"))
    except ValueError as error:
        raise StudyError(f"{address}: expected the DICOMweb address of a study") from error
    if uri.study_instance_uid is None or uri.sop_instance_uid is not None:
        raise StudyError(f"{address}: expected …/studies/UID or …/studies/UID/series/UID")
    return uri.base_url, uri.study_instance_uid, uri.series_instance_uid


def _place(header: Dataset) -> tuple[int, int, str]:
    return int(header.get("SeriesNumber") or 0), int(header.get("InstanceNumber") or 0), str(header.SOPInstanceUID)


def _unwarned(answer: requests.Response, **_options: object) -> None:
    """What an archive warns of is in its own words, and the library would log them."""
    answer.headers.pop("Warning", None)


def _no_bulk_data(_tag: str, _vr: str, _uri: str) -> None:
    """Pixels and the like are not fetched with the headers."""


def _told(error: Exception, missing: str = "the archive does not have this study") -> str:
    response = getattr(error, "response", None)
    if response is None:
        return f"the archive does not answer as it should ({type(error).__name__})"
    if response.status_code == requests.codes.not_found:
        return missing
    return f"the archive answers {response.status_code}"
