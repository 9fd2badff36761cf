"""Reader of the small CSV tables that stand beside a folder of images."""

import csv
from pathlib import Path

from medxgan.training.data.errors import DataError


def read_table(path: Path, key: str, value: str) -> dict[str, str]:
    """Reads two columns of a CSV file with a heading line: from each `key`, which stands once, to its `value`.

    Raises:
        DataError: the file cannot be read, a column is absent, a key is empty or stands twice.
    """
    table: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            for column in (key, value):
                if column not in (rows.fieldnames or ()):
                    raise DataError(f"{path}: no column {column!r} in its heading line")
            for row in rows:
                name = (row[key] or "").strip()
                if not name or name in table:
                    raise DataError(f"{path}: line {rows.line_num}: {key} {name!r} is empty or stands twice")
                table[name] = (row[value] or "").strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable CSV file: {error}") from error
    return table
