"""`explanation.json`: everything in an answer but its pixels, and nothing of the image's file, its name included."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from medxgan.client.pictures import largest_magnitude
from medxgan.client.results import Attribution, AttributionMethod, Explanation

PIXELS = {"maps", "image", "values"}
"""Fields of a result that hold arrays."""


def write_report(explanation: Explanation, path: Path) -> None:
    """Write an explanation as JSON: one key for each field of `Explanation` but the maps."""
    _write({"method": "medxgan", **_plain(explanation)}, path)


def write_attribution_report(attribution: Attribution, method: AttributionMethod, path: Path) -> None:
    """Write an attribution as JSON, with the method and the largest magnitude of its values."""
    magnitude = largest_magnitude(attribution.values[method])
    _write({"method": method.value, **_plain(attribution), "largest_magnitude": magnitude}, path)


def _plain(result: Any) -> dict[str, Any]:
    """A result's fields but its arrays, nested results included."""

    def value(entry: object) -> object:
        if is_dataclass(entry):
            return _plain(entry)
        return [value(item) for item in entry] if isinstance(entry, tuple) else entry

    return {field.name: value(getattr(result, field.name)) for field in fields(result) if field.name not in PIXELS}


def _write(document: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
