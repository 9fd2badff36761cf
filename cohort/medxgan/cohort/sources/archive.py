"""The films of an archive that is searched by DICOMweb: QIDO-RS finds them, WADO-RS fetches them."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pydicom
import requests
from dicomweb_client.web import DICOMwebClient
from requests.adapters import HTTPAdapter

from medxgan.client.loopback import keeps_films_private
from medxgan.cohort.errors import FilmError, SourceError
from medxgan.cohort.sources.film import Film

PAGE = 100
"""Entries that are asked for at once."""

SERIES_LEVEL = frozenset({"Modality", "SeriesInstanceUID", "SeriesDescription", "SeriesNumber", "BodyPartExamined"})
"""Attributes of a query that series are chosen by; studies are chosen by the others."""

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
TIMEOUT = 60.0
"""Seconds for each answer."""


@dataclass(frozen=True)
class Archive:
    """An archive, and a query of it.

    Attributes:
        url: of DICOMweb, without the query.
        query: attributes by keyword, and what they are to be.
        user: for HTTP's basic authentication; None asks without.
        password_file: file with the password, read when it is needed.
    """

    url: str
    query: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    password_file: Path | None = None

    @classmethod
    def parse(cls, text: str, user: str | None, password_file: Path | None) -> "Archive":
        """Read `https://HOST/dicom-web?ModalitiesInStudy=CR&StudyDate=20260101-`.

        Raises:
            SourceError: it is no such address, or films would come in the clear from another machine.
        """
        parts = urlsplit(text)
        if parts.username is not None or parts.password is not None:
            raise SourceError("SOURCE: expected an address without a user; use --archive-user, --archive-password-file")
        if not keeps_films_private(text):
            raise SourceError(
                "SOURCE: expected an https:// address, or an http:// one on loopback: films are patient data"
            )
        query = tuple(parse_qsl(parts.query, keep_blank_values=True))
        return cls(parts._replace(query="", fragment="").geturl().rstrip("/"), query, user, password_file)

    def films(self) -> Iterator[Film]:
        """The films that the query finds, series by series in the archive's order, those of a series by their UIDs.

        Raises:
            SourceError: the archive does not answer, or refuses the query.
        """
        client = self.client()
        of_series = {name: value for name, value in self.query if name in SERIES_LEVEL}
        of_studies = {name: value for name, value in self.query if name not in SERIES_LEVEL}
        if "ModalitiesInStudy" in of_studies:
            of_series.setdefault("Modality", of_studies["ModalitiesInStudy"])
        try:
            for found in _pages(client.search_for_studies, search_filters=of_studies):
                study = _text(found, STUDY)
                for row in _pages(client.search_for_series, study, search_filters=of_series):
                    series = _text(row, SERIES)
                    instances = _pages(client.search_for_instances, study, series)
                    for instance in sorted(_text(each, INSTANCE) for each in instances):
                        yield Film(instance, f"{study}/{series}/{instance}")
        except (requests.RequestException, KeyError, ValueError) as error:
            raise SourceError(f"the archive does not answer the query as expected: {type(error).__name__}") from error

    def client(self) -> DICOMwebClient:
        """A client of it.

        Raises:
            SourceError: the password can't be read.
        """
        session = requests.Session()
        # The options say who asks and where: no proxy, no netrc.
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Timed())
        if self.user is not None:
            try:
                password = "" if self.password_file is None else self.password_file.read_text(encoding="utf-8").strip()
            except OSError as error:
                raise SourceError(f"--archive-password-file: it can't be read: {error.strerror}") from error
            session.auth = (self.user, password)
        return DICOMwebClient(self.url, session=session)


def fetch(client: DICOMwebClient, place: str) -> bytes:
    """Fetch one film as a DICOM file.

    Raises:
        FilmError: it is gone, or what comes is no DICOM object.
        SourceError: the archive does not answer.
    """
    content = io.BytesIO()
    try:
        study, series, instance = place.split("/")
        film = client.retrieve_instance(study, series, instance)
        pydicom.dcmwrite(content, film, enforce_file_format=True)
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (requests.codes.not_found, requests.codes.gone):
            raise FilmError("missing", "film", "the archive has it no longer") from error
        raise SourceError(f"the archive refuses a film with the status {status}") from error
    except requests.RequestException as error:
        raise SourceError(f"the archive does not answer: {type(error).__name__}") from error
    except Exception as error:
        # A damaged object fails in whatever way pydicom does.
        text = f"expected a DICOM object of the archive, which failed to be read ({type(error).__name__})"
        raise FilmError("unreadable", "film", text) from error
    return content.getvalue()


class _Timed(HTTPAdapter):
    """An adapter that waits no longer than `TIMEOUT`: requests waits for ever."""

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request."""
        return super().send(*arguments, **options | {"timeout": TIMEOUT})


def _pages(search: Any, *where: str, **options: Any) -> Iterator[Mapping[str, Any]]:
    offset, before = 0, None
    while True:
        page = search(*where, limit=PAGE, offset=offset, **options)
        # An archive that knows of no pages gives everything, again and again.
        if page == before:
            return
        yield from page
        if len(page) < PAGE:
            return
        offset, before = offset + len(page), page


def _text(found: Mapping[str, Any], tag: str) -> str:
    return str(found[tag]["Value"][0])
