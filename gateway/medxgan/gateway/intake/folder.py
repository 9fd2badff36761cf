"""A watched folder."""

import errno
import secrets
import time
from pathlib import Path

from medxgan.gateway.intake.reception import Receiver, Reception
from medxgan.gateway.settings import FolderSettings
from medxgan.gateway.telemetry.log import get_logger

log = get_logger(__name__)

REFUSED, IGNORED = "refused", "ignored"
"""Folders in it where files go that could not be taken, and those that are not to be explained."""

_UNFINISHED = (".part", ".tmp", ".crdownload", ".filepart")


class WatchedFolder:
    """Takes in files that lie in a folder and have not changed for a while.

    Args:
        settings: of the folder; it is made where it is not there.
        receiver: takes the objects in.
    """

    def __init__(self, settings: FolderSettings, receiver: Receiver) -> None:
        self._folder, self._settle_s, self._receiver = settings.path, settings.settle_s, receiver
        # What can't be read, or not be taken out: it lies there until the next start, and holds up no other.
        self._stuck: set[Path] = set()
        for name in (REFUSED, IGNORED):
            (self._folder / name).mkdir(parents=True, exist_ok=True)

    def step(self) -> bool:
        """Take one file; false where none waits, or there is no room."""
        if not self._receiver.has_room():
            return False
        present = set(self._folder.iterdir())
        self._stuck &= present
        file = next(filter(self._is_settled, sorted(present - self._stuck)), None)
        return file is not None and self._take(file)

    def _take(self, file: Path) -> bool:
        try:
            content = file.read_bytes() if file.stat().st_size <= self._receiver.largest_bytes else None
        except OSError as error:
            return self._leave(file, error)
        reception = self._receiver.refuse("folder") if content is None else self._receiver.receive(content, "folder")
        if reception is Reception.NO_ROOM:
            return False
        try:
            if reception in (Reception.TAKEN, Reception.REPEATED):
                file.unlink()
            else:
                self._put_aside(file, IGNORED if reception is Reception.IGNORED else REFUSED)
        except OSError as error:
            return self._leave(file, error)
        return True

    def _leave(self, file: Path, error: OSError) -> bool:
        if not isinstance(error, FileNotFoundError):
            self._stuck.add(file)
            log.error("a file of a folder is stuck", error=errno.errorcode.get(error.errno or 0, "error"))
        return True

    def _put_aside(self, file: Path, where: str) -> None:
        target = self._folder / where / file.name
        # Another of that name stays.
        while target.exists():
            target = target.with_name(f"{secrets.token_hex(4)}-{file.name}")
        file.rename(target)

    def _is_settled(self, file: Path) -> bool:
        if file.name.startswith(".") or file.suffix in _UNFINISHED or file.is_symlink() or not file.is_file():
            return False
        return time.time() - file.stat().st_mtime >= self._settle_s
