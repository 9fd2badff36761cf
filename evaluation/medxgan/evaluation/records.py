"""`records.jsonl`: what was measured on each image, so that an evaluation can be interrupted and gone on with.

The first line is the header: the bundle, the settings and the versions. Whoever goes on must have the same.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from medxgan.evaluation.errors import RecordsError

Record = dict[str, Any]

FORMAT = 4
"""Version of the lines: of their form and of what is measured on an image."""


class Records:
    """The records of one evaluation.

    Args:
        path: the file; made where there is none, gone on with where there is.
        header: what the records depend on, by name; JSON values. Its `methods` are the names that every image has a
            record of.
        fresh: start anew whatever is there.

    Raises:
        RecordsError: the file holds records made otherwise (the message says what differs), or no records.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], *, fresh: bool = False) -> None:
        self._path = path
        # As it is read back, so that tuples equal lists.
        self._header: Record = json.loads(json.dumps({"record": "header", "format": FORMAT, **header}))
        lines = [] if fresh or not path.exists() else _whole_lines(path)
        if lines:
            _check(lines[0], self._header, path)
        else:
            lines = [self._header]
        self._by_image = _whole_images(lines[1:], self._header["methods"])
        path.parent.mkdir(parents=True, exist_ok=True)
        # What an interruption cut off is dropped here.
        _replace(path, [self._header, *(record for records in self._by_image.values() for record in records)])

    def __contains__(self, image: str) -> bool:
        """Whether the image has been measured."""
        return image in self._by_image

    def __getitem__(self, image: str) -> list[Record]:
        """The records of an image that has been measured: its own first, then one for each method."""
        return self._by_image[image]

    def add(self, image: str, records: list[Record]) -> None:
        """Keep all records of one image; on return they are on disk.

        Raises:
            RecordsError: a figure is not a finite number: a graph of the bundle gave none.
        """
        try:
            text = "".join(map(_line, records))
        except ValueError as error:
            raise RecordsError(
                f"{image}: a figure is not a finite number, so a graph of the bundle gave none"
            ) from error
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self._by_image[image] = records


def _whole_images(records: Iterable[Record], methods: Iterable[str]) -> dict[str, list[Record]]:
    by_image: dict[str, list[Record]] = {}
    for record in records:
        by_image.setdefault(record["image"], []).append(record)
    expected = [None, *methods]
    return {image: own for image, own in by_image.items() if [each.get("method") for each in own] == expected}


def _whole_lines(path: Path) -> list[Record]:
    lines = []
    # By the one byte that ends them: `splitlines` also cuts at U+2028 and its like, which a name may hold. What follows
    # the last one was torn off.
    for number, text in enumerate(path.read_bytes().split(b"\n")[:-1]):
        try:
            line = json.loads(text)
        except ValueError as error:
            raise RecordsError(f"{path}: line {number + 1}: not JSON ({error}); start anew with --fresh") from error
        if not isinstance(line, dict) or (line.get("record") == "header") != (number == 0):
            raise RecordsError(f"{path}: line {number + 1}: not a record of an evaluation; start anew with --fresh")
        lines.append(line)
    return lines


def _check(found: Record, wanted: Record, path: Path) -> None:
    if found.get("format") != wanted["format"]:
        raise RecordsError(
            f"{path}: made by another version of medxgan: expected records of format {wanted['format']}, found "
            f"{found.get('format')!r}. Choose another --report, or start anew with --fresh"
        )
    differing = [
        f"{name} was {found.get(name)!r} and is {wanted.get(name)!r}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]
    if differing:
        raise RecordsError(
            f"{path}: made by another evaluation: {'; '.join(differing)}. Choose another --report, or start anew with "
            "--fresh"
        )


def _replace(path: Path, lines: list[Record]) -> None:
    beside = path.with_suffix(".part")
    beside.write_text("".join(map(_line, lines)), encoding="utf-8")
    beside.replace(path)


def _line(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
