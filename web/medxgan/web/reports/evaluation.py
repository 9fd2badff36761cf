"""`records.jsonl` of `medxgan evaluate --report`: a header, then a line for each image, and one for each map of it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medxgan.web.errors import ReportError
from medxgan.web.reports import MAXIMUM_ROWS, Report, Row, finite, text

RECORDS = "records.jsonl"
FORMAT = 4
"""Version of the lines that is read here."""
MAXIMUM_BYTES = 512 * 1024 * 1024
LOCALISATION = ("average_precision", "pointing_game", "iou")
STATUS_PREFIX = "VERDICT_STATUS_"


def read_evaluation(file: Path) -> Report:
    """Read the records of an evaluation. Lines that can't be read are counted, such as one that was cut off.

    Raises:
        ReportError: the file is none, is too large, or was written by another version of medxgan.
    """
    try:
        if file.stat().st_size > MAXIMUM_BYTES:
            raise ReportError(f"{RECORDS}: expected at most {MAXIMUM_BYTES:,} bytes")
        with file.open("rb") as lines:
            header = _object(lines.readline()) or {}
            if header.get("record") != "header":
                raise ReportError(f"{RECORDS}: expected the header of an evaluation in the first line")
            if header.get("format") != FORMAT:
                raise ReportError(
                    f"{RECORDS}: expected records of format {FORMAT}: another version of medxgan wrote these"
                )
            images, methods, damaged = _sorted_out(lines)
    except OSError as error:
        raise ReportError(f"{RECORDS}: it can't be read") from error
    if len(images) > MAXIMUM_ROWS:
        raise ReportError(f"{RECORDS}: expected at most {MAXIMUM_ROWS:,} images")
    rows = [_row(name, record, methods.get(name, {})) for name, record in images.items()]
    return Report(text(header.get("bundle")), rows, damaged)


_Records = dict[str, Mapping[str, Any]]
_Methods = dict[str, dict[str, dict[str, float]]]


def _sorted_out(lines: Iterator[bytes]) -> tuple[_Records, _Methods, int]:
    images: _Records = {}
    methods: _Methods = {}
    damaged = 0
    for line in lines:
        record = _object(line) or {}
        match record:
            case {"record": "image", "image": str(name), "figures": dict()}:
                images[text(name)] = record
            case {"record": "method", "image": str(name), "method": str(method), "figures": dict(figures)}:
                if found := _numbers({each: figures[each] for each in LOCALISATION if each in figures}):
                    methods.setdefault(text(name), {})[text(method)] = found
            case _:
                damaged += 1
    return images, methods, damaged


def _row(name: str, record: Mapping[str, Any], localisation: Mapping[str, Mapping[str, float]]) -> Row:
    figures = _numbers(record["figures"])
    disagrees = figures.get("classifier_disagrees")
    return Row(
        name=name,
        source=text(record.get("source")),
        status=text(record.get("verdict")).removeprefix(STATUS_PREFIX).lower(),
        score=finite(record.get("score")),
        error=figures.get("reconstruction_mse"),
        agreement=None if disagrees is None else 1 - disagrees,
        localisation=localisation,
    )


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    return {name: number for name, value in figures.items() if (number := finite(value)) is not None}


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
