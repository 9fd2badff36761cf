"""From the arguments of `medxgan explain` to images: files as they are, and the films of studies."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medxgan.client.command.one_image import ImageFile
from medxgan.client.command.terminal import standard_error
from medxgan.client.errors import needed_extra
from medxgan.client.studies.errors import StudyError

if TYPE_CHECKING:
    from medxgan.client.studies.films import Film, Skipped


def images_of(
    arguments: Sequence[str], user: str | None, password_file: Path | None, *, several_frames: bool
) -> list[ImageFile]:
    """The images that arguments name. What a study holds beside films is told on standard error, with the reason.

    Args:
        arguments: paths of files, folders and DICOMDIRs, and DICOMweb addresses of studies.
        user: of the archives; None asks without.
        password_file: file with that user's password.
        several_frames: whether objects of several frames are taken out of studies.

    Raises:
        StudyError: a study can't be read, or holds no film.
        MissingExtraError: what reads studies is not installed.
    """
    return [image for each in arguments for image in _images(each, user, password_file, several_frames)]


def _images(argument: str, user: str | None, password_file: Path | None, several_frames: bool) -> Iterator[ImageFile]:
    path = Path(argument)
    if argument.lower().startswith(("http://", "https://")):
        with needed_extra("a study in an archive", "dicomweb"):
            from medxgan.client.studies.archive import Archive, study_at
        url, study, series = study_at(argument)
        found = Archive(url, user, password_file).films(study, series, several_frames=several_frames)
    elif path.is_dir() or path.name.upper() == "DICOMDIR":
        with needed_extra("a study", "dicom"):
            from medxgan.client.studies.folder import films_of
        found = films_of(path, several_frames=several_frames)
    else:
        yield ImageFile.at(path)
        return
    yield from _taken(argument, found)


def _taken(argument: str, found: "Sequence[Film | Skipped]") -> Iterator[ImageFile]:
    from medxgan.client.studies.films import Film

    films = [each for each in found if isinstance(each, Film)]
    for each in found:
        if not isinstance(each, Film):
            standard_error().print(f"skipped {each.name}: {each.reason}", markup=False, highlight=False, soft_wrap=True)
    if not films:
        raise StudyError(f"{argument}: no film is there")
    for film in films:
        yield ImageFile(f"{argument.rstrip('/')}/{film.name}", Path(film.name).name, film.read)
