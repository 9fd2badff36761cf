"""`explanation.json`: everything in an answer but its pixels, and nothing of the image's file, its name included."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from medxgan.client.pictures import largest_magnitude
from medxgan.client.results import Attribution, AttributionMethod, Explanation, MapKind

PIXELS = {"maps", "image", "values", "picture"}
"""Fields of a result that hold arrays."""


def write_report(explanation: Explanation, path: Path) -> None:
    """Write an explanation as JSON: one key for each field of `Explanation` but the maps, and one for the pictures.

    `largest_magnitude` is the magnitude that is 255 in the files of the residual and the uncertainty, where held.
    """
    own_scale = (MapKind.RESIDUAL, MapKind.UNCERTAINTY)
    magnitudes = {
        kind.value: largest_magnitude(explanation.maps[kind]) for kind in own_scale if kind in explanation.maps
    }
    _write({"method": "medxgan", **_plain(explanation), "largest_magnitude": magnitudes}, path)


def write_attribution_report(attribution: Attribution, files: Mapping[AttributionMethod, str], path: Path) -> None:
    """Write an attribution as JSON: one key for each of its fields but the arrays, and two for the pictures.

    `files` are the pictures' names by method, `largest_magnitude` the values' magnitude that is 255 (and 0) there.
    """
    magnitudes = {method.value: largest_magnitude(attribution.values[method]) for method in files}
    report = {"methods": list(files), **_plain(attribution), "files": dict(files), "largest_magnitude": magnitudes}
    _write(report, path)


def _plain(result: Any) -> dict[str, Any]:
    """A result's fields but its arrays, nested results included."""

    def value(entry: object) -> object:
        if is_dataclass(entry):
            return _plain(entry)
        if isinstance(entry, Mapping):
            return {key: value(item) for key, item in entry.items()}
        return [value(item) for item in entry] if isinstance(entry, tuple) else entry

    return {field.name: value(getattr(result, field.name)) for field in fields(result) if field.name not in PIXELS}


def _write(document: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
