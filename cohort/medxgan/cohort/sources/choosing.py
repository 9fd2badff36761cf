"""What SOURCE on the command line stands for."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from medxgan.cohort.errors import SourceError
from medxgan.cohort.sources.archive import Archive
from medxgan.cohort.sources.film import Film
from medxgan.cohort.sources.folder import folder_films
from medxgan.cohort.sources.listing import Columns, listed_films

SLOW = {"n": 2**15, "r": 8, "p": 1, "maxmem": 2**26}
"""What scrypt is told: 32 MiB for each guess."""


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
        try:
            is_there = Path(text).exists()
        except OSError as error:
            raise SourceError(f"SOURCE: {text} can't be read: {error.strerror}") from error
        if not is_there:
            raise SourceError(f"SOURCE: there is no folder or file {text}")
        return cls(text, None, columns, pattern)

    @property
    def path(self) -> Path | None:
        """Of the folder or the list; None of an archive."""
        return None if self.archive is not None else Path(self.text)

    def name(self, salt: str) -> str:
        """What the run notes of it: a query may name patients, so that a hash stands for it that is slow to guess at.

        Args:
            salt: of the run, in hexadecimal digits.
        """
        if self.archive is None:
            return str(Path(self.text).absolute())
        query = hashlib.scrypt(repr(self.archive.query).encode(), salt=bytes.fromhex(salt), dklen=32, **SLOW)
        return f"{self.archive.url} (scrypt of the query: {query.hex()})"

    @property
    def options(self) -> Mapping[str, str | None]:
        """What else says which films these are, by the names of the command's options."""
        if self.path is None:
            return {}
        if self.path.is_dir():
            return {"pattern": self.pattern}
        return {f"{use}_column": name or use for use, name in vars(self.columns).items()}

    @property
    def holder(self) -> Archive | None:
        """The archive that films are fetched from, without the query; None for files."""
        return None if self.archive is None else replace(self.archive, query=())

    def films(self) -> Iterator[Film]:
        """The films, in an order that is always the same where the source is.

        Raises:
            SourceError: they can't be listed.
        """
        if self.archive is not None:
            return self.archive.films()
        path = Path(self.text)
        return folder_films(path, self.pattern) if path.is_dir() else listed_films(path, self.columns)
