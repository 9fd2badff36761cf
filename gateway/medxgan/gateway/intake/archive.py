"""Archives that are asked for new films: by DICOMweb, or by Orthanc's feed of changes."""

import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pydicom
import requests
from dicomweb_client.web import DICOMwebClient

from medxgan.client.studies.session import TooLongAnswer
from medxgan.gateway.clock import Clock
from medxgan.gateway.http import session
from medxgan.gateway.intake.reception import Receiver, Reception
from medxgan.gateway.journal.cursors import Cursors
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.settings import DicomwebSettings
from medxgan.gateway.telemetry.log import get_logger

log = get_logger(__name__)

PAGE = 100
"""Entries that are asked for at once."""


_AROUND = 2**16
"""Bytes that an archive may put around an object."""

_OF_EVERY_OBJECT = (
    requests.codes.unauthorized,
    requests.codes.forbidden,
    requests.codes.too_many_requests,
    requests.codes.service_unavailable,
)
"""Answers that another object would have too."""


class ArchiveAwayError(Exception):
    """An archive does not answer, or not as it should."""


class ArchiveQuery:
    """Searches the studies of the last days by QIDO-RS, and fetches what the journal does not know by WADO-RS.

    Args:
        settings: of the archive.
        journal: that says what is known.
        receiver: takes the objects in.
        clock: by which the last days are reckoned.
    """

    def __init__(self, settings: DicomwebSettings, journal: Journal, receiver: Receiver, clock: Clock) -> None:
        self._settings, self._journal, self._receiver, self._clock = settings, journal, receiver, clock
        self._client = DICOMwebClient(
            settings.url,
            session=session(
                settings.user, settings.password_file, settings.timeout_s, receiver.largest_bytes + _AROUND
            ),
        )
        self._client.set_http_retry_params(retry=False)
        # Not fetched again before the next start.
        self._refused: set[str] = set()
        # Asked for at every look, and told of once.
        self._withheld: set[str] = set()

    def step(self) -> bool:
        """Look once; false where nothing new was there.

        Raises:
            ArchiveAwayError: the archive does not answer.
        """
        try:
            is_new = False
            for study, series, instance in self._instances():
                if instance in self._refused or self._journal.known(instance) is not None:
                    continue
                reception = self._receive(study, series, instance)
                if reception is None:
                    continue
                if reception is Reception.NO_ROOM:
                    return False
                if reception in (Reception.UNREADABLE, Reception.TOO_LARGE, Reception.MISMATCHED):
                    self._refused.add(instance)
                is_new = True
            return is_new
        except (requests.RequestException, KeyError, ValueError) as error:
            raise ArchiveAwayError from error

    def _receive(self, study: str, series: str, instance: str) -> Reception | None:
        """Fetch an object; one that can't be read, or that the archive lists and does not give, holds up no other.

        Returns:
            What became of it; None where it was not given.
        """
        content = io.BytesIO()
        try:
            film = self._client.retrieve_instance(study, series, instance)
            pydicom.dcmwrite(content, film, enforce_file_format=True)
            announced = str(film.SOPClassUID), instance
        except TooLongAnswer:
            return self._receiver.refuse("dicomweb")
        except requests.HTTPError as error:
            if error.response is None or error.response.status_code in _OF_EVERY_OBJECT:
                raise
            if instance not in self._withheld:
                self._withheld.add(instance)
                log.error("an archive does not give what it lists", status=error.response.status_code)
            return None
        except requests.RequestException:
            raise
        except Exception as fault:  # noqa: BLE001 - a damaged object fails in whatever way pydicom does
            log.error("an object of an archive can't be read", fault=type(fault).__name__)
            return Reception.UNREADABLE
        return self._receiver.receive(content.getvalue(), "dicomweb", announced)

    def _instances(self) -> Iterator[tuple[str, str, str]]:
        first = datetime.fromtimestamp(self._clock(), UTC).astimezone() - timedelta(days=self._settings.days)
        for found in self._pages(self._client.search_for_studies, search_filters={"StudyDate": f"{first:%Y%m%d}-"}):
            study = _text(found, "0020000D")
            for modality in self._settings.modalities:
                for row in self._pages(self._client.search_for_series, study, search_filters={"Modality": modality}):
                    series = _text(row, "0020000E")
                    for instance in self._pages(self._client.search_for_instances, study, series):
                        yield study, series, _text(instance, "00080018")

    def _pages(self, search: Any, *where: str, **options: Any) -> Iterator[Mapping[str, Any]]:
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


class OrthancChanges:
    """Follows the changes of an Orthanc, from where it was left off.

    Args:
        settings: of the archive; the address is that of Orthanc's own interface.
        cursors: where it was left off.
        receiver: takes the objects in.
    """

    def __init__(self, settings: DicomwebSettings, cursors: Cursors, receiver: Receiver) -> None:
        self._settings, self._cursors, self._receiver = settings, cursors, receiver
        self._session = session(
            settings.user, settings.password_file, settings.timeout_s, receiver.largest_bytes + _AROUND
        )

    def step(self) -> bool:
        """Take in what one page of changes names; false where there is none, or no room.

        Raises:
            ArchiveAwayError: the archive does not answer.
        """
        place = self._cursors.place(self._settings.name)
        try:
            page = self._get("/changes", {"since": place, "limit": PAGE}).json()
            for change in page["Changes"]:
                if change["ChangeType"] == "NewInstance" and not self._is_taken(change["ID"]):
                    return False
                self._cursors.move(self._settings.name, int(change["Seq"]))
            if not page["Changes"] and int(page["Last"]) < place:
                # The archive was set up anew, and counts from the beginning.
                self._cursors.move(self._settings.name, 0)
            return bool(page["Changes"])
        except (requests.RequestException, KeyError, ValueError) as error:
            raise ArchiveAwayError from error

    def _is_taken(self, identifier: str) -> bool:
        modality = self._get(f"/instances/{identifier}/content/0008-0060", {})
        # What was deleted in the meantime is of no interest to anybody.
        if not modality.ok or modality.text.strip(" \0") not in self._settings.modalities:
            return True
        try:
            film = self._get(f"/instances/{identifier}/file", {})
        except TooLongAnswer:
            self._receiver.refuse("dicomweb")
            return True
        return not film.ok or self._receiver.receive(film.content, "dicomweb") is not Reception.NO_ROOM

    def _get(self, path: str, query: Mapping[str, int]) -> requests.Response:
        answer = self._session.get(self._settings.url + path, params=dict(query))
        if not answer.ok and answer.status_code != requests.codes.not_found:
            answer.raise_for_status()
        return answer


def _text(found: Mapping[str, Any], tag: str) -> str:
    return str(found[tag]["Value"][0])
