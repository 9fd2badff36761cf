"""What SOURCE on the command line stands for."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medxgan.cohort.errors import FilmError, SourceError
from medxgan.cohort.sources.archive import Archive, fetch
from medxgan.cohort.sources.film import Film
from medxgan.cohort.sources.folder import folder_films
from medxgan.cohort.sources.listing import Columns, listed_films


@dataclass(frozen=True)
class Source:
    """Where films are listed and read.

    Attributes:
        text: SOURCE as it was given.
        archive: where it is an archive's address; else None.
        columns: of a list.
        pattern: of the names of a folder's files.
    """

    text: str
    archive: Archive | None = None
    columns: Columns = field(default_factory=Columns)
    pattern: str = "*"

    @classmethod
    def parse(cls, text: str, columns: Columns, pattern: str, user: str | None, password_file: Path | None) -> "Source":
        """Tell a folder, a list and an archive's address apart.

        Raises:
            SourceError: there is nothing there.
        """
        if text.startswith(("http://", "https://")):
            return cls(text, Archive.parse(text, user, password_file))
        if not Path(text).exists():
            raise SourceError(f"SOURCE: there is no folder or file {text}")
        return cls(text, None, columns, pattern)

    @property
    def name(self) -> str:
        """What the run notes of it: a query may name patients, so that its hash stands for it."""
        if self.archive is None:
            return str(Path(self.text).absolute())
        query = hashlib.sha256(repr(self.archive.query).encode()).hexdigest()
        return f"{self.archive.url} (SHA-256 of the query: {query})"

    def films(self) -> Iterator[Film]:
        """The films, in an order that is always the same where the source is.

        Raises:
            SourceError: they can't be listed.
        """
        if self.archive is not None:
            return self.archive.films()
        path = Path(self.text)
        return folder_films(path, self.pattern) if path.is_dir() else listed_films(path, self.columns)


class FilmReader:
    """Reads films. May be used by several threads.

    Args:
        archive: that they lie in; None for files.
        maximum_bytes: of a film; a larger one is not read.
    """

    def __init__(self, archive: Archive | None, maximum_bytes: int) -> None:
        self._client = None if archive is None else archive.client()
        self._maximum = maximum_bytes

    def read(self, film: Film) -> bytes:
        """The film's file.

        Raises:
            FilmError: there is none, or it can't be read.
            SourceError: the archive does not answer.
        """
        if self._client is not None:
            return fetch(self._client, film.place)
        path = Path(film.place)
        try:
            size = path.stat().st_size
            if size > self._maximum:
                raise FilmError("too_large", "film", f"expected at most {self._maximum} bytes, got {size}")
            if size == 0:
                raise FilmError("unreadable", "film", "expected an image file, got an empty one")
            return path.read_bytes()
        except FileNotFoundError as error:
            raise FilmError("missing", "film", "there is no such file") from error
        except OSError as error:
            raise FilmError("unreadable", "film", f"it can't be read: {error.strerror or 'unknown'}") from error
