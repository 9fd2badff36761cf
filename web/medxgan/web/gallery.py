"""A folder of explanations, as `medxgan explain` writes them: an overview, and each with its maps."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medxgan.client.geometry import FloatArray
from medxgan.client.vocabulary import MapKind, Unrecognised
from medxgan.web.errors import MissingError
from medxgan.web.plain import drawing
from medxgan.web.reports import finite, text

REPORT = "explanation.json"
_COMPARED = ("original", "reconstruction")
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
    SyntaxError,
    Image.DecompressionBombError,
)


class Gallery:
    """The explanations in a folder and in the folders directly below it; read anew each time.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entries(self) -> list[dict[str, Any]]:
        """One line for each explanation: its id, folder, model, score, verdict, error and agreement."""
        return [_line(name, report) for name, report in self._reports().items()]

    def explanation(self, name: str) -> dict[str, Any]:
        """One explanation in the form of `plain.answer`; raises MissingError."""
        document = self._document(name)
        maps = [
            {**entry, "kind": kind, "shape": list(size), **drawing(_kind(kind))}
            for kind, entry in document["maps"].items()
            if kind != MapKind.COLORIZED and (size := self._size(name, entry)) is not None
        ]
        told = {**document, "id": name, "maps": maps, "positive_class": None}
        return {**told, "name": text(self._found(name).parent.name)}

    def values(self, name: str, kind: str) -> FloatArray:
        """A map of an explanation, from its PNG file, to half of one of its 255 levels; raises MissingError."""
        entry = self._document(name)["maps"].get(kind)
        try:
            low, high = float(entry["low"]), float(entry["high"])
            with Image.open(self._picture(name, entry), formats=("PNG",)) as image:
                levels = np.asarray(image.convert("L"), np.float32)
        except _UNREADABLE as error:
            raise MissingError("the folder does not hold this map") from error
        return levels * np.float32((high - low) / 255) + np.float32(low)

    def _reports(self) -> dict[str, Path]:
        found = [self._folder / REPORT, *sorted(self._folder.glob(f"*/{REPORT}"))]
        return {_id(path.relative_to(self._folder)): path for path in found if path.is_file()}

    def _found(self, name: str) -> Path:
        reports = self._reports()
        if name not in reports:
            raise MissingError("the folder no longer holds this explanation")
        return reports[name]

    def _document(self, name: str) -> dict[str, Any]:
        try:
            document = _read(self._found(name))
            if not isinstance(document["maps"], dict):
                raise TypeError
        except _UNREADABLE as error:
            raise MissingError("this explanation can't be read") from error
        return dict(document)

    def _picture(self, name: str, entry: Any) -> Path:
        file = str(entry["file"])
        if Path(file).name != file:
            raise MissingError("the explanation names a file outside of its folder")
        return self._found(name).parent / file

    def _size(self, name: str, entry: Any) -> tuple[int, int] | None:
        """Rows and columns of a map's picture; None where there is none that can be read."""
        try:
            with Image.open(self._picture(name, entry), formats=("PNG",)) as image:
                return image.height, image.width
        except _UNREADABLE:
            return None


def _kind(name: str) -> MapKind | Unrecognised:
    return MapKind(name) if name in tuple(MapKind) else Unrecognised(0)


def _read(path: Path) -> Any:
    """A report; raises one of `_UNREADABLE`, as for what could not be sent on: infinity, or halves of characters."""
    # Earlier releases wrote NaN.
    report = json.loads(path.read_bytes(), parse_constant=lambda _name: None)
    json.dumps(report, allow_nan=False, ensure_ascii=False).encode()
    return report


def _line(name: str, path: Path) -> dict[str, Any]:
    line: dict[str, Any] = {"id": name, "name": text(path.parent.name)}
    try:
        report = _read(path)
        outcome = report.get("outcome") or {}
        return {
            **line,
            "readable": True,
            "model": f"{report['model']['name']} {report['model']['version']}",
            "status": str(report["verdict"]["status"]),
            "reasons": [str(reason["sentence"]) for reason in report["verdict"]["reasons"]],
            "score": finite(report["scores"]["original"]["probability"]),
            "positive": bool(report["scores"]["original"]["positive"]),
            "error": finite(outcome.get("reconstruction_mse")),
            "agreement": _agreement(report["scores"]),
        }
    except _UNREADABLE:
        return {**line, "readable": False}


def _agreement(scores: Mapping[str, Any]) -> float | None:
    """1 where the classifier scores the reconstruction as it does the film, down to 0; None where there is none."""
    film, reconstruction = (finite((scores.get(name) or {}).get("probability")) for name in _COMPARED)
    return None if film is None or reconstruction is None else 1.0 - abs(film - reconstruction)


def _id(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:24]
