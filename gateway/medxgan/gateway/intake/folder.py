"""A watched folder."""

import secrets
import time
from pathlib import Path

from medxgan.gateway.intake.reception import Receiver, Reception
from medxgan.gateway.settings import FolderSettings

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
        for name in (REFUSED, IGNORED):
            (self._folder / name).mkdir(parents=True, exist_ok=True)

    def step(self) -> bool:
        """Take one file; false where none waits, or there is no room."""
        if not self._receiver.has_room():
            return False
        file = next(filter(self._is_settled, sorted(self._folder.iterdir())), None)
        return file is not None and self._take(file)

    def _take(self, file: Path) -> bool:
        if file.stat().st_size > self._receiver.largest_bytes:
            reception = self._receiver.refuse("folder")
        else:
            reception = self._receiver.receive(file.read_bytes(), "folder")
        if reception is Reception.NO_ROOM:
            return False
        if reception in (Reception.TAKEN, Reception.REPEATED):
            file.unlink()
        else:
            self._put_aside(file, IGNORED if reception is Reception.IGNORED else REFUSED)
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
