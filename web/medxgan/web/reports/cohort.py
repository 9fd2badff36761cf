"""The rows of `medxgan cohort`: Parquet files, read by pyarrow, which comes with the extra `cohort`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from medxgan.web.errors import ReportError
from medxgan.web.reports import MAXIMUM_ROWS, Report, Row, finite, text

COLUMNS = (
    "film",
    "source",
    "input_sha256",
    "error_text",
    "score",
    "score_reconstruction",
    "verdict",
    "reason_sentences",
    "reconstruction_mse",
    "model",
    "version",
)


def read_cohort(files: list[Path]) -> Report:
    """Read the rows of a cohort's run, which may still go on. Files that can't be read are counted.

    Args:
        files: of rows; none of a run that has just begun.

    Raises:
        ReportError: there are none that can be read, or too many rows.
    """
    rows: list[Mapping[str, Any]] = []
    damaged = 0
    for file in files:
        try:
            with parquet.ParquetFile(file) as opened:
                if len(rows) + opened.metadata.num_rows > MAXIMUM_ROWS:
                    raise ReportError(f"rows: expected at most {MAXIMUM_ROWS:,} films")
                if not set(COLUMNS) <= set(opened.schema_arrow.names):
                    raise ReportError("rows: expected the columns of `medxgan cohort`")
                rows += opened.read(columns=list(COLUMNS)).to_pylist()
        except (OSError, ValueError, pyarrow.ArrowException):
            damaged += 1
    if damaged and damaged == len(files):
        raise ReportError("rows: expected Parquet files that can be read")
    model = next((f"{row['model']}/{row['version']}" for row in rows if row["model"]), "")
    return Report(model, [_row(row) for row in rows], damaged)


def _row(values: Mapping[str, Any]) -> Row:
    film, reconstruction = finite(values["score"]), finite(values["score_reconstruction"])
    return Row(
        name=text(values["film"]),
        source=text(values["source"]),
        status=text(values["verdict"]),
        note=text(values["error_text"] or next(iter(values["reason_sentences"] or ()), "")),
        score=film,
        error=finite(values["reconstruction_mse"]),
        agreement=None if film is None or reconstruction is None else 1 - abs(film - reconstruction),
        sha256=text(values["input_sha256"]),
    )
