"""`explanation.json`: everything in an answer but its pixels."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from medxgan.client.pictures.files import MapFile
from medxgan.client.results import Explanation
from medxgan.client.vocabulary import MapKind, Unrecognised

PIXELS = {"values", "png"}
"""Fields of a result that hold pixels."""


def write_report(
    explanation: Explanation,
    files: Mapping[MapKind | Unrecognised, MapFile],
    path: Path,
    *,
    image: bytes,
    image_name: str = "",
) -> None:
    """Write an explanation as JSON to the file `path`; see `report` for what is in it."""
    document = report(explanation, files, image=image, image_name=image_name)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def report(
    explanation: Explanation,
    files: Mapping[MapKind | Unrecognised, MapFile],
    *,
    image: bytes,
    image_name: str = "",
) -> dict[str, Any]:
    """An explanation as JSON: one key for each of its fields, and `image` for the file that was explained.

    Args:
        explanation: what to tell.
        files: the files of its maps; `low` and `high` are the levels on 0 and 255 there.
        image: content of the file that was explained; its SHA-256 is stated.
        image_name: its name, to be stated too; empty to leave it out, since it may tell who the patient is.
    """
    named = {"name": image_name} if image_name else {}
    document = {"image": {**named, "sha256": hashlib.sha256(image).hexdigest()}, **plain(explanation)}
    for kind, file in files.items():
        document["maps"][kind].update(plain(file))
    return document


def plain(result: Any) -> dict[str, Any]:
    """A result's fields but its pixels, nested results included; null for a number that is none, which JSON has not."""

    def value(entry: object) -> object:
        if is_dataclass(entry):
            return plain(entry)
        if isinstance(entry, Mapping):
            return {key: value(item) for key, item in entry.items()}
        if isinstance(entry, tuple):
            return [value(item) for item in entry]
        return None if isinstance(entry, float) and not math.isfinite(entry) else entry

    return {field.name: value(getattr(result, field.name)) for field in fields(result) if field.name not in PIXELS}
