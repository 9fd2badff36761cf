"""What is made of files, made again when they change."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from medxgan.server.log import get_logger

_log = get_logger(__name__)

Made = TypeVar("Made")


class SecurityFileError(ValueError):
    """A file of certificates, keys or identities can't be used. The text names the file and quotes nothing of it."""


class Reloading(Generic[Made]):
    """What `load` makes of files; changed files that it can't use leave what was there in force, and are logged once.

    May be used from any thread.

    Args:
        files: that `load` reads.
        load: reads them.

    Raises:
        SecurityFileError: the files can't be used as they are at first.
    """

    def __init__(self, files: Sequence[Path], load: Callable[[], Made]) -> None:
        self._files = tuple(files)
        self._load = load
        self._lock = threading.Lock()
        self._signature = self._signed()
        self._made = self._loaded()

    def current(self) -> Made:
        """What the files say now, as far as they can be used."""
        with self._lock:
            signature = self._signed()
            if signature != self._signature:
                self._signature = signature
                try:
                    self._made = self._loaded()
                except SecurityFileError as error:
                    _log.error("not_reloaded", reason=str(error))
                else:
                    _log.info("reloaded", files=[str(file) for file in self._files])
            return self._made

    def _loaded(self) -> Made:
        try:
            return self._load()
        except OSError as error:
            raise SecurityFileError(f"{error.filename}: {error.strerror}") from error

    def _signed(self) -> tuple[tuple[int, ...] | None, ...]:
        return tuple(map(_signature, self._files))


def _signature(file: Path) -> tuple[int, ...] | None:
    """What tells one state of a file from the next; links are followed, since secrets are often mounted as such."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size
