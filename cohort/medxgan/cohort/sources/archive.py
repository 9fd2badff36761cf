"""The films of an archive that is searched by DICOMweb (QIDO-RS)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from dicomweb_client.web import DICOMwebClient

from medxgan.client.loopback import keeps_films_private
from medxgan.client.studies.session import archive_session
from medxgan.cohort.errors import SourceError
from medxgan.cohort.sources.film import Film
from medxgan.cohort.sources.patience import BUSY, patiently, status_of

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
            for study in _found(client.search_for_studies, STUDY, search_filters=of_studies):
                for series in _found(client.search_for_series, SERIES, study, search_filters=of_series):
                    for instance in sorted(_found(client.search_for_instances, INSTANCE, study, series)):
                        yield Film(instance, f"{study}/{series}/{instance}")
        except requests.RequestException as error:
            status = status_of(error)
            said = type(error).__name__ if status is None else f"status {status}"
            raise SourceError(f"the archive does not answer the query as expected ({said})") from error
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise SourceError(
                "the archive does not answer the query as expected: with UIDs of what it found"
            ) from error

    def client(self, most_bytes: int | None = None) -> DICOMwebClient:
        """A client of it, for one thread.

        Args:
            most_bytes: of each answer; None for any number.

        Raises:
            SourceError: the password can't be read.
        """
        try:
            session = archive_session(self.user, self.password_file, TIMEOUT, most_bytes)
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError("--archive-password-file: it can't be read") from error
        client = DICOMwebClient(self.url, session=session)
        # It would try again whatever failed, a refused connection and a film that is too large among it.
        client.set_http_retry_params(retry=False)
        return client


def _found(search: Callable[..., Any], tag: str, *where: str, **options: Any) -> Iterator[str]:
    """UIDs, each once.

    The end is where nothing new comes: an archive may give fewer at once than it is asked for, and one that knows of no
    pages gives everything, again and again.
    """
    known: set[str] = set()
    offset = 0
    while True:
        page = patiently(partial(search, *where, limit=PAGE, offset=offset, **options), _is_busy)
        uids = dict.fromkeys(_uid(entry[tag]["Value"][0]) for entry in page)
        if known.issuperset(uids):
            return
        yield from (uid for uid in uids if uid not in known)
        known.update(uids)
        offset += len(page)


def _uid(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a UID")
    return value


def _is_busy(error: requests.RequestException) -> bool:
    return status_of(error) in BUSY | {HTTPStatus.GATEWAY_TIMEOUT}
