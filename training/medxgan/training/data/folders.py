"""Reader of folders of images, one folder a class: ROOT/CLASS/*.png, .jpg or .tif."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from medxgan.training.data.errors import DataError
from medxgan.training.data.samples import LabelledImages
from medxgan.training.data.tables import read_table

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})
WHITE_IS_ZERO = 0  # photometric interpretation of a TIFF file


def read_folder(
    root: Path, positive: Sequence[str], negative: Sequence[str], patients: Path | None = None
) -> LabelledImages:
    """Reads the images of the named class folders; folders that are not named are left out.

    Args:
        root: the folder of the class folders; its name is the source of all images.
        positive: names of the folders whose images are positive.
        negative: names of the folders whose images are negative.
        patients: CSV file with the columns `file` (CLASS/NAME) and `patient`, a row for every image; if None, every
            image is its own patient.

    Raises:
        DataError: a folder is absent, empty or named twice, an image cannot be read or has no row in `patients`.
    """
    folders = [*positive, *negative]
    if len(set(folders)) < len(folders):
        raise DataError(f"{root}: a class folder is named twice among {', '.join(folders)}")
    files: list[Path] = []
    labels: list[int] = []
    for folder in folders:
        found = _image_files(root / folder)
        files += found
        labels += [int(folder in positive)] * len(found)

    pictures = [_read_grey(file) for file in files]
    ids = tuple(file.relative_to(root).as_posix() for file in files)
    return LabelledImages(
        images=[levels for levels, _ in pictures],
        labels=np.array(labels, dtype=np.uint8),
        patients=("",) * len(files) if patients is None else _patients_of(ids, patients),
        sources=(root.name,) * len(files),
        ids=ids,
        inverted=np.array([inverted for _, inverted in pictures], dtype=np.bool_),
    )


def _image_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such class folder")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
    if not files:
        raise DataError(f"{folder}: no images ({', '.join(sorted(SUFFIXES))})")
    return files


def _patients_of(ids: Sequence[str], path: Path) -> tuple[str, ...]:
    patients = read_table(path, "file", "patient")
    unknown = [name for name in ids if name not in patients]
    if unknown:
        raise DataError(f"{path}: no row for {unknown[0]!r}, and {len(unknown) - 1} more images")
    return tuple(patients[name] for name in ids)


def _read_grey(file: Path) -> tuple[NDArray[Any], bool]:
    """The grey levels of a file, upright, [H, W] uint8, uint16 or float32, and whether a high one means dark.

    Levels are as stored; colour becomes uint8 luma, and transparency is dropped.
    """
    try:
        with Image.open(file) as picture:
            if getattr(picture, "n_frames", 1) > 1:
                raise DataError(f"{file}: expected one picture, got {getattr(picture, 'n_frames', 1)}")
            inverted = _is_left_inverted(picture)
            upright = ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{file}: not a readable image: {error}") from error
    if upright.mode == "I":
        return _sixteen_bits(file, np.asarray(upright)), inverted
    if upright.mode == "F":
        return np.asarray(upright, dtype=np.float32), inverted
    if upright.mode.startswith("I;16"):
        return np.asarray(upright).astype(np.uint16), inverted
    return np.asarray(upright.convert("L")), inverted


def _is_left_inverted(picture: Image.Image) -> bool:
    """Whether this is a TIFF file with white as zero that Pillow leaves so; it turns those of 8 bits itself."""
    if not isinstance(picture, TiffImageFile) or not picture.mode.startswith(("I;16", "F")):
        return False
    return bool(picture.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == WHITE_IS_ZERO)


def _sixteen_bits(file: Path, levels: NDArray[np.int32]) -> NDArray[np.uint16]:
    if levels.min() < 0 or levels.max() > np.iinfo(np.uint16).max:
        raise DataError(f"{file}: grey levels {levels.min()} to {levels.max()} do not fit 16 bits")
    return levels.astype(np.uint16)
