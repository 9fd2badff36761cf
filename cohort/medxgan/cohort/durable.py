"""Files that outlive a power cut: written under another name, synchronised, then named."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

UNFINISHED = ".unfinished"
"""Ends the names of files that are being written."""


def write_durably(path: Path, write: Callable[[Path], None]) -> None:
    """Make a file appear whole or not at all; on return it and its name are on the disk.

    Args:
        path: of the file; one that is there is replaced.
        write: writes it to the path that it is given.
    """
    # Of this call alone: a worker that is given up by others may still write the same file.
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        write(unfinished)
        synchronise(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    synchronise(path.parent)


def synchronise(path: Path) -> None:
    """Bring a file's content, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
