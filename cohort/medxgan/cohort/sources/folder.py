"""The films of a folder and of those in it."""

import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from medxgan.cohort.errors import SourceError
from medxgan.cohort.sources.film import Film

DIRECTORY = "DICOMDIR"
"""A medium's table of contents (DICOM PS3.10), which is no film."""


def folder_films(folder: Path, pattern: str = "*") -> Iterator[Film]:
    """The files below `folder` in the order of their paths; hidden ones and tables of contents are left out.

    A file that is no film is not left out, and neither is a link that leads nowhere: they become rows with their
    errors, so that a damaged or a moved film is never lost.

    Args:
        folder: links to folders in it are not followed.
        pattern: of the names of files: `*.dcm`.

    Raises:
        SourceError: a folder can't be listed.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(f"SOURCE: {folder} can't be listed: {error.strerror}") from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from folder_films(folder / entry.name, pattern)
        elif entry.name != DIRECTORY and fnmatch(entry.name, pattern) and _may_be_film(entry):
            path = folder / entry.name
            yield Film(str(path), str(path.absolute()))


def _may_be_film(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a file, or what nobody can tell: git-annex has links to files that are elsewhere."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True
