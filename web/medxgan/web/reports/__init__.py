"""Results of many films without their pictures: what `medxgan evaluate --report` and `medxgan cohort` write."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAXIMUM_ROWS = 200_000
"""Films of a report at most."""


@dataclass(frozen=True)
class Row:
    """What a report says of one film; None where it says nothing.

    Attributes:
        name: of the film, as the report names it.
        status: of the verdict, as the gallery names it; empty where there is no explanation.
        note: the first reason of the verdict, or why there is no explanation.
        error: mean squared error of the reconstruction, in x's units.
        agreement: 1 where the classifier says the same of the reconstruction as of the film, down to 0.
        localisation: of each method whose map was compared with a marked lesion, its figures.
        sha256: of the film's file; empty where it is not known.
    """

    name: str
    source: str
    status: str
    note: str = ""
    score: float | None = None
    error: float | None = None
    agreement: float | None = None
    localisation: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sha256: str = ""


@dataclass(frozen=True)
class Report:
    """A report as it is on disk.

    Attributes:
        model: what the films were explained by.
        rows: in the order of the report.
        damaged: how many of its lines or files can't be read.
    """

    model: str
    rows: Sequence[Row]
    damaged: int = 0


def text(value: Any) -> str:
    """Text as it can be sent on: of JSON it may hold halves of characters."""
    return str(value or "").encode(errors="replace").decode()


def finite(value: Any) -> float | None:
    """A number of JSON, or None for whatever else stands there."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
