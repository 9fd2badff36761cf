"""Reader of `.npz` sets of the layout of MedMNIST (Yang et al., Scientific Data 2023)."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medxgan.training.data.errors import DataError
from medxgan.training.data.npz import read_arrays
from medxgan.training.data.samples import DataSplit, LabelledImages

PARTS = ("train", "val", "test")


def read_medmnist(path: Path, positive: Sequence[int]) -> DataSplit:
    """Reads `PART_images` uint8 [N, H, W] and `PART_labels` [N, K] for the parts train, val and test.

    With one column (K = 1) a label is a number of a class; with several, each column is 0 or 1 and has a number. The
    parts are those of the file, `val` for calibration. It names no patients.

    Args:
        path: the file.
        positive: classes, or columns, that make an image positive.

    Raises:
        DataError: the file cannot be read, an array is absent or malformed, a class is nowhere, or there is colour.
    """
    arrays = read_arrays(path)
    train, calibration, test = (_part(path, arrays, part, positive) for part in PARTS)
    return DataSplit(train=train, test=test, calibration=calibration)


def is_medmnist(path: Path) -> bool:
    """Whether a file has this layout."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "train_images.npy" in archive.namelist()


def _part(path: Path, arrays: Mapping[str, NDArray[Any]], part: str, positive: Sequence[int]) -> LabelledImages:
    for name in (f"{part}_images", f"{part}_labels"):
        if name not in arrays:
            raise DataError(f"{path}: no array {name!r}, only {', '.join(sorted(arrays))}")
    images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
    if images.ndim != 3:
        raise DataError(f"{path}: {part}_images: expected grey pictures [N, H, W], got {list(images.shape)}")
    if labels.ndim != 2 or len(labels) != len(images):
        raise DataError(f"{path}: {part}_labels: expected [{len(images)}, K], got {list(labels.shape)}")
    known = set(np.unique(labels).tolist()) if labels.shape[1] == 1 else set(range(labels.shape[1]))
    if part == "train" and (missing := sorted(set(positive) - known)):
        raise DataError(f"{path}: positive: expected some of {', '.join(map(str, sorted(known)))}, found {missing[0]}")
    chosen = list(positive)
    is_positive = np.isin(labels[:, 0], chosen) if labels.shape[1] == 1 else (labels[:, chosen] != 0).any(1)
    return LabelledImages(
        images=list(images),
        labels=is_positive.astype(np.uint8),
        patients=("",) * len(images),
        sources=(path.stem,) * len(images),
        ids=tuple(f"{part} {row}" for row in range(len(images))),
        inverted=np.zeros(len(images), dtype=np.bool_),
    )
