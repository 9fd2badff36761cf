"""The films of a folder and of those in it."""

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from medxgan.cohort.sources.film import Film

DIRECTORY = "DICOMDIR"
"""A medium's table of contents (DICOM PS3.10), which is no film."""


def folder_films(folder: Path, pattern: str = "*") -> Iterator[Film]:
    """The files below `folder` in the order of their paths; hidden ones and tables of contents are left out.

    A file that is no film is not left out: it becomes a row with its error, so that a damaged film is never lost.

    Args:
        folder: links to folders in it are not followed.
        pattern: of the names of files: `*.dcm`.
    """
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from folder_films(folder / entry.name, pattern)
        elif entry.is_file() and entry.name != DIRECTORY and fnmatch(entry.name, pattern):
            path = folder / entry.name
            yield Film(str(path), str(path.absolute()))
