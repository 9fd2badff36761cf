"""Where the files about each image go."""

from collections.abc import Sequence
from pathlib import Path

SUFFIXES = {".dcm", ".dicom", ".dic", ".ima", ".png", ".jpg", ".jpeg", ".tif", ".tiff"}
"""What ends a file's name without being part of it. DICOM files are often named by UID, without any: the last number of
1.3.6.1.4.1.10 belongs to the name."""


def output_folders(images: Sequence[Path], out: Path) -> list[Path]:
    """A folder for each image: `out` itself for a single one, else `out`/STEM, numbered where a stem comes again.

    Series of scans often hold the same file names in several folders: `a/IM1.dcm` and `b/IM1.dcm` go to `IM1` and
    `IM1-2`.
    """
    if len(images) == 1:
        return [out]
    taken: set[str] = set()
    folders = []
    for image in images:
        stem = image.stem if image.suffix.lower() in SUFFIXES else image.name
        name, number = stem, 1
        # Some file systems take upper and lower case for the same.
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.lower())
        folders.append(out / name)
    return folders
