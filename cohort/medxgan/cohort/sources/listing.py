"""The films of a list: lines of text, CSV, or Parquet."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medxgan.cohort.errors import SourceError
from medxgan.cohort.sources.film import Film

SEPARATORS = {".csv": ",", ".tsv": "\t"}

EXACT = 2**53
"""Up to which whole numbers are what they were before they became floating."""

Row = Mapping[str, str | None]
"""Values by the names of `Columns`; one that is left out is nowhere."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a list. One that is named has to be there; None is the usual name.

    Attributes:
        path: of the films.
        label: carried through; where it is not named, it may be missing.
        source: carried through in the same way.
    """

    path: str | None = None
    label: str | None = None
    source: str | None = None

    def found(self, names: Sequence[str]) -> dict[str, str]:
        """The columns that a list has, by what they are for.

        Raises:
            SourceError: one that was named is not among them, or the paths are not.
        """
        chosen = {"path": self.path, "label": self.label, "source": self.source}
        for use, name in chosen.items():
            if name is not None and name not in names:
                raise SourceError(f"--{use}-column: expected a column {name!r} in the list of films")
        if (self.path or "path") not in names:
            raise SourceError("expected a column 'path' in the list of films; --path-column names another")
        return {use: name or use for use, name in chosen.items() if (name or use) in names}


def listed_films(file: Path, columns: Columns) -> Iterator[Film]:
    """The films of a list in its order; relative paths are relative to the list's folder.

    Args:
        file: `.csv` and `.tsv` with a line of names, `.parquet`; another holds a path a line.
        columns: of a CSV or Parquet file.

    Raises:
        SourceError: there is no such column, it holds what is no text, or the file can't be read.
    """
    try:
        if file.suffix.lower() == ".parquet":
            rows = _parquet(file, columns)
        elif file.suffix.lower() in SEPARATORS:
            rows = _separated(file, columns, SEPARATORS[file.suffix.lower()])
        else:
            rows = _lines(file, columns)
        for number, row in enumerate(rows, 1):
            path = row["path"]
            if not path:
                raise SourceError(f"{columns.path or 'path'}: expected a path in row {number} of the list, got none")
            yield Film(path, str((file.parent / path).absolute()), row.get("label"), row.get("source"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"the list of films can't be read: {error}") from error


def _lines(file: Path, columns: Columns) -> Iterator[Row]:
    if columns != Columns():
        raise SourceError(
            f"--path-column, --label-column, --source-column: {file.name} has a path a line, and no columns"
        )
    with file.open(encoding="utf-8-sig") as lines:
        for line in lines:
            if path := line.strip():
                yield {"path": path}


def _separated(file: Path, columns: Columns, separator: str) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines, delimiter=separator, skipinitialspace=True)
        rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
        found = columns.found(rows.fieldnames)
        for row in rows:
            yield {use: row[name] or None for use, name in found.items()}


def _parquet(file: Path, columns: Columns) -> Iterator[Row]:
    # Arrow's errors are ValueErrors and OSErrors, but for their base.
    try:
        table = pq.ParquetFile(file)
    except ValueError as error:
        raise SourceError(f"the list of films is no Parquet file: {error}") from error
    with table:
        schema = table.schema_arrow
        found = columns.found(schema.names)
        for use, name in found.items():
            _refuse_other_types(name, schema.field(name).type, is_path=use == "path")
        for batch in table.iter_batches(columns=list(dict.fromkeys(found.values()))):
            for row in batch.to_pylist():
                yield {use: _text(name, row[name]) for use, name in found.items()}


def _refuse_other_types(name: str, kind: pa.DataType, *, is_path: bool) -> None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    octets = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    if not any(is_it(kind) for is_it in (*texts, *octets, *(() if is_path else numbers))):
        expected = "text" if is_path else "text or numbers"
        raise SourceError(f"{name}: expected a column of {expected} in the list of films, got {kind}")


def _text(name: str, value: Any) -> str | None:
    """A value as a CSV file has it: nothing for what is no number, and no decimals that say that others are missing."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise SourceError(f"{name}: expected text in UTF-8 in the list of films, got other bytes") from error
    if isinstance(value, float):
        if isnan(value):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < EXACT else str(value)
    return None if value is None else str(value)
