"""The films of a list: lines of text, CSV, or Parquet."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from medxgan.cohort.errors import SourceError
from medxgan.cohort.sources.film import Film

SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a list. `label` and `source` may be missing there."""

    path: str = "path"
    label: str = "label"
    source: str = "source"


def listed_films(file: Path, columns: Columns) -> Iterator[Film]:
    """The films of a list in its order; relative paths are relative to the list's folder.

    Args:
        file: `.csv` and `.tsv` with a line of names, `.parquet`; another holds a path a line.
        columns: of a CSV or Parquet file.

    Raises:
        SourceError: there is no such column, or the file can't be read.
    """
    try:
        if file.suffix.lower() == ".parquet":
            rows = _parquet(file, columns)
        elif file.suffix.lower() in SEPARATORS:
            rows = _separated(file, columns, SEPARATORS[file.suffix.lower()])
        else:
            rows = _lines(file, columns)
        for number, row in enumerate(rows, 1):
            path = row[columns.path]
            if not path:
                raise SourceError(f"{columns.path}: expected a path in row {number} of the list, got none")
            place = (file.parent / path).absolute()
            yield Film(path, str(place), row.get(columns.label), row.get(columns.source))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"the list of films can't be read: {error}") from error


def _lines(file: Path, columns: Columns) -> Iterator[Mapping[str, str | None]]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if path := line.strip():
                yield {columns.path: path}


def _separated(file: Path, columns: Columns, separator: str) -> Iterator[Mapping[str, str | None]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines, delimiter=separator)
        _require(columns, rows.fieldnames or ())
        for row in rows:
            yield {name: value or None for name, value in row.items() if isinstance(value, str)} | {
                columns.path: row[columns.path]
            }


def _parquet(file: Path, columns: Columns) -> Iterator[Mapping[str, str | None]]:
    # Arrow's errors are ValueErrors and OSErrors, but for their base.
    try:
        table = pq.ParquetFile(file)
    except ValueError as error:
        raise SourceError(f"the list of films is no Parquet file: {error}") from error
    with table:
        names = table.schema_arrow.names
        _require(columns, names)
        wanted = [name for name in (columns.path, columns.label, columns.source) if name in names]
        for batch in table.iter_batches(columns=wanted):
            for row in batch.to_pylist():
                yield {name: None if value is None else str(value) for name, value in row.items()}


def _require(columns: Columns, names: object) -> None:
    if columns.path not in names:  # type: ignore[operator]
        raise SourceError(f"expected a column {columns.path!r} in the list of films; --path-column names another")
