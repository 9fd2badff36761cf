"""Files that outlive a power cut: written, synchronised, then named."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

_UNFINISHED = ".part"


class FileStore:
    """Files under names that say nothing of what is in them, in one folder that only its owner may read.

    Args:
        folder: made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _synchronise(folder.parent)
        self._folder = folder

    def write(self, content: bytes, name: str | None = None) -> str:
        """Write a file; on return it and its name are on the disk.

        Args:
            content: of it.
            name: of a file of another store that it belongs to, in place of one that was written so before; None for
                a new one.

        Returns:
            Its name, for `path`.

        Raises:
            OSError: it could not be written; nothing of it is left.
        """
        name = name or f"{secrets.token_hex(16)}.dcm"
        unfinished = self._folder / (name + _UNFINISHED)
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(self._folder / name)
            _synchronise(self._folder)
        except OSError:
            for left in (unfinished, self._folder / name):
                with contextlib.suppress(OSError):
                    left.unlink(missing_ok=True)
            raise
        return name

    def path(self, name: str) -> Path:
        """Where the file of that name is."""
        return self._folder / name

    def remove(self, names: Iterable[str]) -> None:
        """Delete files, those that are gone already too."""
        for name in names:
            self.path(name).unlink(missing_ok=True)

    def sweep(self, known: Iterable[str], into: Path | None = None) -> int:
        """Take out what no row names: a process died between the file and its row. Only before anything is written.

        Args:
            known: names that a row has.
            into: folder that whole files are put into; None deletes them.

        Returns:
            How many files there were.
        """
        left_over = {path.name for path in self._folder.iterdir()} - set(known)
        if into is not None:
            into.mkdir(exist_ok=True, mode=0o700)
            for name in left_over:
                if not name.endswith(_UNFINISHED):
                    self.path(name).rename(into / name)
        self.remove(left_over)
        return len(left_over)

    def free_bytes(self) -> int:
        """Bytes that are free on its disk."""
        return shutil.disk_usage(self._folder).free


def _synchronise(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
