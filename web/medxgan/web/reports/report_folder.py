"""The report of a reading room: its rows as they are told, and the films that are at hand for them."""

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medxgan.client.errors import needed_extra
from medxgan.client.pictures.appearance import appearance
from medxgan.client.vocabulary import MapKind
from medxgan.web.errors import FilmError, MissingError, ReportError
from medxgan.web.reports import Report, Row
from medxgan.web.reports.evaluation import RECORDS, read_evaluation
from medxgan.web.reports.film_folder import films_of

RUN, ROWS = "run.json", "rows"
"""What a cohort's run is known by, and where its rows are."""


class ReportFolder:
    """A report on disk, read anew where it has changed.

    Args:
        folder: of the report.
        films: where its films are; None where they are not at hand.
        film_bytes: of a film at most.
    """

    def __init__(self, folder: Path, films: Path | None, film_bytes: int) -> None:
        self._folder, self._films, self._film_bytes = folder, films, film_bytes
        self._reading = threading.Lock()
        self._read: tuple[object, Report] | None = None
        self._told: Mapping[str, tuple[Row, Path]] = {}

    def report(self) -> Report:
        """The report as it is now.

        Raises:
            ReportError: the folder is none of a report, or can't be read.
            MissingExtraError: what reads a cohort's rows is not installed.
        """
        with self._reading:
            files = self._files()
            try:
                state = [(file, (now := file.stat()).st_mtime_ns, now.st_size) for file in files]
            except OSError as error:
                raise ReportError("the report can't be read") from error
            if self._read is None or self._read[0] != state:
                is_evaluation = files == [self._folder / RECORDS]
                self._read = state, read_evaluation(files[0]) if is_evaluation else _cohort(files)
            return self._read[1]

    def told(self) -> dict[str, Any]:
        """The report as JSON: its rows, and which of them open; raises as `report`."""
        report = self.report()
        films, ids = self._at_hand(report), [row_id(number, row.name) for number, row in enumerate(report.rows)]
        self._told = {
            name: (row, films[row.name]) for name, row in zip(ids, report.rows, strict=True) if row.name in films
        }
        rows = [
            {
                "id": name,
                "name": row.name,
                "source": row.source,
                "status": row.status,
                "note": row.note,
                "score": row.score,
                "error": row.error,
                "agreement": row.agreement,
                "localisation": row.localisation,
                "opens": row.name in films,
            }
            for name, row in zip(ids, report.rows, strict=True)
        ]
        methods = dict.fromkeys(method for row in report.rows for method in row.localisation)
        return {
            "model": report.model,
            "damaged": report.damaged,
            "films": self._films is not None,
            "methods": {method: _title(method) for method in methods},
            "rows": rows,
        }

    def film(self, chosen: str) -> tuple[bytes, str]:
        """A row's film, and the name of the model that explained it.

        Raises:
            MissingError: the report has no such row, or its film is not at hand.
            FilmError: the file is too large, or no longer the one that was explained.
        """
        report = self.report()
        row = next((row for number, row in enumerate(report.rows) if row_id(number, row.name) == chosen), None)
        if row is None:
            raise MissingError("the report no longer holds this film")
        file = self._at_hand(report).get(row.name)
        if file is None:
            raise MissingError("this film is not at hand: start the reading room with --report-films")
        return self.content(row, file), report.model.partition("/")[0]

    def told_film(self, chosen: str) -> tuple[Row, Path, object]:
        """A row with the file that it was last told to open, and the state of that file.

        A table asks for many of them: the folder of films is not looked through for each.

        Raises:
            MissingError: the report has no such row, or its film is not at hand.
            ReportError, MissingExtraError: as `report`.
        """
        if chosen not in self._told:
            self.told()
        try:
            row, file = self._told[chosen]
            now = file.stat()
        except (KeyError, OSError) as error:
            raise MissingError("this film is not at hand") from error
        return row, file, (file, now.st_mtime_ns, now.st_size)

    def content(self, row: Row, file: Path) -> bytes:
        """The film of a row; raises MissingError, FilmError as `film`."""
        try:
            with file.open("rb") as content:
                film = content.read(self._film_bytes + 1)
        except OSError as error:
            raise MissingError("this film is no longer at hand") from error
        if len(film) > self._film_bytes:
            raise FilmError(f"the film has more than {self._film_bytes:,} bytes")
        if row.sha256 and hashlib.sha256(film).hexdigest() != row.sha256:
            raise FilmError("the file is not the one that the report is about: it has changed since, or is another")
        return film

    def _files(self) -> list[Path]:
        if (self._folder / RECORDS).is_file():
            return [self._folder / RECORDS]
        files = sorted((self._folder / ROWS).glob("*.parquet"))
        if not files and not (self._folder / RUN).is_file():
            raise ReportError(
                f"expected a folder of `medxgan evaluate --report`, with {RECORDS}, or of `medxgan cohort`, with "
                f"{ROWS}/*.parquet"
            )
        return files

    def _at_hand(self, report: Report) -> dict[str, Path]:
        return {} if self._films is None else films_of(self._films, (row.name for row in report.rows))


def _cohort(files: list[Path]) -> Report:
    with needed_extra("a cohort's rows", "cohort"):
        from medxgan.web.reports.cohort import read_cohort
    return read_cohort(files)


def _title(method: str) -> str:
    """What a map is called; empty for what is none, such as a baseline."""
    return appearance(MapKind(method)).name if method in tuple(MapKind) else ""


def row_id(number: int, name: str) -> str:
    """What a row is called in an address."""
    return hashlib.sha256(f"{number}/{name}".encode()).hexdigest()[:24]
