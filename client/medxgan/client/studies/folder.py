"""The films of a folder, or of the files that a DICOMDIR names."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

from medxgan.client.studies.errors import StudyError
from medxgan.client.studies.films import Film, Skipped, no_film
from medxgan.client.studies.unquoted import unquoted

DICOMDIR = "DICOMDIR"
"""The name that the standard gives the file (PS3.10, 8.6)."""

_HEADER = ("Columns", "Manufacturer", "Modality", "NumberOfFrames", "Rows", "SOPClassUID")
_PICTURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
"""How PNG, JPEG and TIFF files begin."""


def films_of(path: Path, *, several_frames: bool = False) -> list[Film | Skipped]:
    """What lies in a folder and the folders below it, or what a DICOMDIR names, by path.

    Args:
        path: of the folder or the DICOMDIR.
        several_frames: whether objects of several frames are taken.

    Raises:
        StudyError: it is no folder or DICOMDIR that can be read.
    """
    folder = path if path.is_dir() else path.parent
    with unquoted():
        files = sorted(folder.rglob("*")) if path.is_dir() else sorted(_named_by(path))
        return [_judged(file, folder, several_frames) for file in _distinct(files)]


def _distinct(files: Iterable[Path]) -> Iterator[Path]:
    return (
        file
        for file in dict.fromkeys(files)
        if not file.is_dir() and file.name.upper() != DICOMDIR and not file.name.startswith(".")
    )


def _judged(file: Path, folder: Path, several_frames: bool) -> Film | Skipped:
    name = str(file.relative_to(folder))
    try:
        with file.open("rb") as content:
            is_picture = content.read(16).startswith(_PICTURES)
        if not is_picture:
            header = dcmread(file, stop_before_pixels=True, specific_tags=list(_HEADER))
            if reason := no_film(header, several_frames=several_frames):
                return Skipped(name, reason)
    except FileNotFoundError:
        return Skipped(name, "not there, though the DICOMDIR names it")
    except OSError as error:
        return Skipped(name, error.strerror or "it can't be read")
    except InvalidDicomError:
        return Skipped(name, "no DICOM, PNG, JPEG or TIFF file")
    except Exception:  # noqa: BLE001 - a damaged file fails in whatever way pydicom does
        return Skipped(name, "a DICOM file that can't be read")
    return Film(name, file.read_bytes)


def _named_by(file: Path) -> Iterator[Path]:
    """The files of a DICOMDIR's records, none outside of its folder."""
    try:
        directory = dcmread(file)
        if directory.file_meta.MediaStorageSOPClassUID != MediaStorageDirectoryStorage:
            raise StudyError(f"{file}: expected a DICOMDIR")
        records = [record.get("ReferencedFileID") for record in directory.DirectoryRecordSequence]
    except StudyError:
        raise
    except Exception as error:
        raise StudyError(f"{file}: no DICOMDIR that can be read") from error
    for parts in filter(None, records):
        named = file.parent.joinpath(*([parts] if isinstance(parts, str) else parts))
        if named.resolve().is_relative_to(file.parent.resolve()):
            yield named
