"""The rows of `medxgan cohort`: Parquet files, read by pyarrow, which comes with the extra `cohort`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medxgan.client.errors import needed_extra
from medxgan.web.errors import ReportError
from medxgan.web.reports import MAXIMUM_ROWS, Report, Row, finite

ROWS = "rows"
COLUMNS = (
    "film",
    "source",
    "input_sha256",
    "error_text",
    "score",
    "score_reconstruction",
    "score_applied_negative",
    "verdict",
    "reason_sentences",
    "reconstruction_mse",
    "model",
    "version",
)
FIGURES = ("score_reconstruction", "score_applied_negative")


def read_cohort(files: list[Path]) -> Report:
    """Read the rows of a cohort's run, which may still go on. Files that can't be read are counted.

    Args:
        files: of rows.

    Raises:
        ReportError: there are none that can be read, or too many rows.
        MissingExtraError: what reads them is not installed.
    """
    with needed_extra("a cohort's rows", "cohort"):
        import pyarrow
        from pyarrow import parquet
    rows: list[Mapping[str, Any]] = []
    damaged = 0
    for file in files:
        try:
            with parquet.ParquetFile(file) as opened:
                if len(rows) + opened.metadata.num_rows > MAXIMUM_ROWS:
                    raise ReportError(f"{ROWS}: expected at most {MAXIMUM_ROWS:,} films")
                if not set(COLUMNS) <= set(opened.schema_arrow.names):
                    raise ReportError(f"{ROWS}: expected the columns of `medxgan cohort`")
                rows += opened.read(columns=list(COLUMNS)).to_pylist()
        except (OSError, ValueError, pyarrow.ArrowException):
            damaged += 1
    if damaged and damaged == len(files):
        raise ReportError(f"{ROWS}: expected Parquet files that can be read")
    model = next((f"{row['model']}/{row['version']}" for row in rows if row["model"]), "")
    return Report(model, [_row(row) for row in rows], damaged)


def _row(values: Mapping[str, Any]) -> Row:
    film, reconstruction = finite(values["score"]), finite(values["score_reconstruction"])
    reasons = [str(each) for each in values["reason_sentences"] or ()]
    figures = {name: number for name in FIGURES if (number := finite(values[name])) is not None}
    return Row(
        name=str(values["film"]),
        source=str(values["source"] or ""),
        status=str(values["verdict"] or ""),
        note=str(values["error_text"] or next(iter(reasons), "")),
        score=film,
        error=finite(values["reconstruction_mse"]),
        agreement=None if film is None or reconstruction is None else 1 - abs(film - reconstruction),
        figures=figures,
        sha256=str(values["input_sha256"] or ""),
    )
