"""An archive as this room sees it, over DICOMweb: its studies, and the films of each."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medxgan.client.errors import needed_extra
from medxgan.client.studies.errors import QueryError, StudyError, TooLongError
from medxgan.client.studies.films import Film, Skipped
from medxgan.client.studies.search import FoundStudies, StudyQuery
from medxgan.web.errors import ArchiveError, FieldError, FilmError, MissingError
from medxgan.web.settings import MEGABYTE
from medxgan.web.wishes import text

if TYPE_CHECKING:
    from medxgan.client.studies.archive import Archive

ENVELOPE_BYTES = 16 * MEGABYTE
"""Of an answer, beside a film's bytes; the headers of a study have no more than that."""

_UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)+")


class StudyArchive:
    """An archive whose studies everyone who comes in may open.

    Args:
        url: of DICOMweb.
        user: for HTTP's basic authentication; None asks without.
        password_file: file with that user's password.
        film_bytes: of a film at most.

    Raises:
        StudyError: the address can't be used, or the password can't be read.
        MissingExtraError: what speaks DICOMweb is not installed.
    """

    def __init__(self, url: str, user: str | None, password_file: Path | None, film_bytes: int) -> None:
        with needed_extra("a study in an archive", "dicomweb"):
            from medxgan.client.studies.archive import Archive
        # Of its own for each request: they come at the same time, and a session of HTTP is for one thread.
        self._open: Callable[[], Archive] = lambda: Archive(
            url, user, password_file, most_bytes=film_bytes + ENVELOPE_BYTES
        )
        self._open()
        self._film_bytes = film_bytes

    async def studies(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """A page of studies: by "patient", "earliest", "latest", "modality"; "offset" of them were told before.

        Raises:
            FieldError: of these, or the search would go through the whole archive.
            ArchiveError: the archive does not answer, or not as it was asked.
        """
        offset = told.get("offset", 0)
        if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
            raise FieldError("offset", "a whole number, 0 or more")
        try:
            query = StudyQuery(
                text(told, "patient").strip(),
                _day(told, "earliest"),
                _day(told, "latest"),
                text(told, "modality").strip(),
            )
        except QueryError as error:
            raise FieldError(error.field, error.expected) from error
        return asdict(await asyncio.to_thread(self._searched, query, offset))

    async def films(self, study: str) -> list[dict[str, Any]]:
        """What a study holds, by series and instance number; raises ArchiveError, FieldError."""
        found = await asyncio.to_thread(self._found, study)
        return [{"instance": each.name, "skipped": each.reason if isinstance(each, Skipped) else ""} for each in found]

    async def film(self, study: str, instance: str) -> bytes:
        """A film's file; raises ArchiveError, FieldError, FilmError, MissingError."""
        return await asyncio.to_thread(self._fetched, study, instance)

    def _opened(self) -> "Archive":
        try:
            return self._open()
        except StudyError as error:
            # The message names a file of this machine.
            raise ArchiveError("the reading room can't read its password of the archive") from error

    def _searched(self, query: StudyQuery, offset: int) -> FoundStudies:
        try:
            return self._opened().search(query, offset)
        except StudyError as error:
            raise ArchiveError(str(error)) from error

    def _found(self, study: str) -> list[Film | Skipped]:
        if not _UID.fullmatch(study):
            raise FieldError("study", "a Study Instance UID: numbers and dots, up to 64 characters")
        try:
            # The reader turns to the frames of a film.
            return self._opened().films(study, several_frames=True)
        except StudyError as error:
            raise ArchiveError(str(error)) from error

    def _fetched(self, study: str, instance: str) -> bytes:
        found = next((each for each in self._found(study) if each.name == instance), None)
        if found is None:
            raise MissingError("the archive no longer has this film")
        if isinstance(found, Skipped):
            raise FilmError(f"this is no film: {found.reason}")
        try:
            content = found.read()
        except TooLongError:
            content = None
        except StudyError as error:
            raise ArchiveError(str(error)) from error
        if content is None or len(content) > self._film_bytes:
            raise FilmError(f"the film has more than {self._film_bytes:,} bytes")
        return content


def _day(told: Mapping[str, Any], name: str) -> date | None:
    """A day, as a field for a date gives it; None where it is left out."""
    try:
        return date.fromisoformat(given) if (given := text(told, name)) else None
    except ValueError as error:
        raise FieldError(name, "a day, YYYY-MM-DD") from error
