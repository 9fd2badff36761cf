"""Reader of `.npz` sets: one array of images and, beside it, one array a column."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medxgan.training.data.errors import DataError
from medxgan.training.data.samples import DataSplit, LabelledImages

Criteria = Mapping[str, Sequence[str | int | float]]
"""For each column that matters, the values allowed in it."""


def read_npz(
    path: Path, keep: Criteria | None = None, positive: Criteria | None = None, strata: str | None = None
) -> LabelledImages:
    """Reads rows of one set.

    The file holds `images` [N, H, W] and per-row columns: `labels` (0 or 1), and optionally `ids`, `patient`, `source`,
    `masks` [N, H, W] (not 0 on the pathology) and any others, which `keep` and `positive` may name.

    Args:
        path: the file.
        keep: a row stays where every named column has an allowed value; every row if None.
        positive: a row is positive where every named column has an allowed value; the column `labels` if None.
        strata: the column that becomes the images' `strata`, if any.

    Raises:
        DataError: the file cannot be read, a column is absent or malformed, or no row has a value that was named.
    """
    table = _Table.read(path)
    return table.samples(positive, strata).select(table.rows_with(keep or {}))


def read_npz_split(
    path: Path, keep: Criteria | None = None, positive: Criteria | None = None, strata: str | None = None
) -> DataSplit:
    """Reads rows of one set, as `read_npz`, and parts them as its column `split` says: "train" or "test".

    Raises:
        DataError: as `read_npz`; or `split` is absent, has another value, or parts a patient.
    """
    table = _Table.read(path)
    kept = table.rows_with(keep or {})
    return table.samples(positive, strata).select(kept).split(table.in_test()[kept])


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Reads every array of a file, by its name.

    Raises:
        DataError: the file cannot be read, or holds something other than plain arrays.
    """
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: no such file, or not an .npz file")
    try:
        # numpy does not close a file that it opened itself and cannot read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not an .npz file of plain arrays: {error}") from error


@dataclass(frozen=True)
class _Table:
    """The arrays of one file, all with one row for each image."""

    path: Path
    columns: Mapping[str, NDArray[Any]]

    @classmethod
    def read(cls, path: Path) -> "_Table":
        columns = read_arrays(path)
        table = cls(path, columns)
        images = table.column("images")
        if images.ndim != 3:
            raise DataError(f"{path}: column 'images': expected [N, H, W], got {list(images.shape)}")
        for name, column in columns.items():
            if column.shape[:1] != images.shape[:1]:
                raise DataError(f"{path}: column {name!r}: expected {len(images)} rows, got {list(column.shape)}")
        return table

    def column(self, name: str) -> NDArray[Any]:
        if name not in self.columns:
            raise DataError(f"{self.path}: no column {name!r}, only {', '.join(sorted(self.columns))}")
        return self.columns[name]

    def rows_with(self, criteria: Criteria) -> NDArray[np.bool_]:
        rows = np.ones(len(self.column("images")), dtype=np.bool_)
        for name, allowed in criteria.items():
            column = self.column(name)
            if column.ndim != 1:
                raise DataError(
                    f"{self.path}: column {name!r} has {column.ndim} axes; only a plain column can be chosen by"
                )
            known = column.tolist()
            # A value that is nowhere is a slip of the pen that would shrink the set unseen.
            for value in allowed:
                if value not in set(known):
                    raise DataError(f"{self.path}: column {name!r} has no {value!r}; it has {_listed(known)}")
            rows &= np.fromiter((value in allowed for value in known), np.bool_, len(known))
        return rows

    def labels(self, positive: Criteria | None) -> NDArray[np.uint8]:
        if positive is not None:
            return self.rows_with(positive).astype(np.uint8)
        labels = self.column("labels")
        if labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
            raise DataError(f"{self.path}: column 'labels': expected 0 or 1 for each image")
        return labels.astype(np.uint8)

    def names(self, name: str) -> tuple[str, ...] | None:
        """A column as text; empty where it is not a number, by which a column of numbers says that nothing is known."""
        values = self.columns[name].tolist() if name in self.columns else None
        return None if values is None else tuple("" if value != value else str(value) for value in values)

    def in_test(self) -> NDArray[np.bool_]:
        split = self.column("split")
        if not np.isin(split, ("train", "test")).all():
            raise DataError(f"{self.path}: column 'split': expected 'train' or 'test', got {_listed(split.tolist())}")
        in_test: NDArray[np.bool_] = split == "test"
        return in_test

    def samples(self, positive: Criteria | None, strata: str | None) -> LabelledImages:
        images = self.column("images")
        unknown = ("",) * len(images)
        try:
            return LabelledImages(
                images=list(images),
                labels=self.labels(positive),
                patients=self.names("patient") or unknown,
                sources=self.names("source") or unknown,
                ids=self.names("ids") or tuple(f"row {row}" for row in range(len(images))),
                inverted=np.zeros(len(images), dtype=np.bool_),
                masks=self.columns["masks"] != 0 if "masks" in self.columns else None,
                strata=None if strata is None else tuple(str(value) for value in self.column(strata).tolist()),
            )
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from error


def _listed(values: Sequence[Any]) -> str:
    different = sorted(set(values))
    return ", ".join(map(repr, different[:8])) + (f" and {len(different) - 8} more" if len(different) > 8 else "")
