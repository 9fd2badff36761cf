"""One film out of an archive, by WADO-RS."""

import io
from http import HTTPStatus

import pydicom
import requests
from dicomweb_client.web import DICOMwebClient

from medxgan.client.studies.session import TooLongAnswer
from medxgan.client.studies.unquoted import unquoted
from medxgan.cohort.errors import FilmError, SourceError
from medxgan.cohort.sources.patience import BUSY, patiently, status_of

AROUND = 2**16
"""Bytes that an archive may put around a film."""

OF_EVERY_FILM = BUSY | {HTTPStatus.UNAUTHORIZED, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}
"""Answers that another film would have too: the run ends, and goes on when the archive gives films again."""

GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


def fetch(client: DICOMwebClient, place: str, maximum_bytes: int) -> bytes:
    """Fetch one film as a DICOM file.

    Args:
        client: of the archive.
        place: study/series/instance.
        maximum_bytes: of the film.

    Raises:
        FilmError: it is gone or too large, what comes is no DICOM object, or the archive gives others and not this one.
        SourceError: the archive does not answer.
    """
    content = io.BytesIO()
    try:
        study, series, instance = place.split("/")
        with unquoted():
            film = patiently(lambda: client.retrieve_instance(study, series, instance), _may_pass)
            pydicom.dcmwrite(content, film, enforce_file_format=True)
    except TooLongAnswer as error:
        raise FilmError("too_large", "film", f"expected at most {maximum_bytes} bytes, got more") from error
    except requests.RequestException as error:
        raise _whose_fault(error, client, study) from error
    except Exception as error:
        # A damaged object fails in whatever way pydicom does.
        text = f"expected a DICOM object of the archive, which failed to be read ({type(error).__name__})"
        raise FilmError("unreadable", "film", text) from error
    if content.tell() > maximum_bytes:
        raise FilmError("too_large", "film", f"expected at most {maximum_bytes} bytes, got {content.tell()}")
    return content.getvalue()


def _may_pass(error: requests.RequestException) -> bool:
    status = status_of(error)
    if status is None:
        return not isinstance(error, TooLongAnswer)
    return status in BUSY or status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _whose_fault(error: requests.RequestException, client: DICOMwebClient, study: str) -> FilmError | SourceError:
    status = status_of(error)
    said = type(error).__name__ if status is None else f"status {status}"
    if status in GONE:
        return FilmError("missing", "film", "the archive has it no longer")
    if status not in OF_EVERY_FILM and not _may_pass(error):
        return FilmError("not_given", "film", f"the archive does not give it ({said})")
    if status not in OF_EVERY_FILM and _answers(client, study):
        return FilmError("not_given", "film", f"the archive fails at it again and again ({said})")
    return SourceError(f"the archive does not give films ({said})")


def _answers(client: DICOMwebClient, study: str) -> bool:
    """Whether it is there: then what failed is the fault of what was asked for."""
    try:
        client.search_for_studies(limit=1, search_filters={"StudyInstanceUID": study})
    except requests.RequestException:
        return False
    return True
