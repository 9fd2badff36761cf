"""Reads films, from files or from an archive."""

import threading
from pathlib import Path

from dicomweb_client.web import DICOMwebClient

from medxgan.cohort.errors import FilmError
from medxgan.cohort.sources.archive import Archive
from medxgan.cohort.sources.fetching import AROUND, fetch
from medxgan.cohort.sources.film import Film


class FilmReader:
    """Reads films. May be used by several threads.

    Args:
        archive: that they lie in; None for files.
        maximum_bytes: of a film; a larger one is not read.
    """

    def __init__(self, archive: Archive | None, maximum_bytes: int) -> None:
        self._archive, self._maximum = archive, maximum_bytes
        # A session of HTTP is for one thread.
        self._of_thread = threading.local()

    def read(self, film: Film) -> bytes:
        """The film's file.

        Raises:
            FilmError: there is none, or it can't be read.
            SourceError: the archive does not answer.
        """
        if film.place is None:
            raise FilmError("unreadable", "film", "expected a name in UTF-8, got other bytes")
        if self._archive is None:
            return self._file(Path(film.place))
        return fetch(self._client(self._archive), film.place, self._maximum)

    def _file(self, path: Path) -> bytes:
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
        except ValueError as error:
            raise FilmError("unreadable", "film", "expected a path without NUL characters") from error

    def _client(self, archive: Archive) -> DICOMwebClient:
        client: DICOMwebClient | None = getattr(self._of_thread, "client", None)
        if client is None:
            client = self._of_thread.client = archive.client(self._maximum + AROUND)
        return client
