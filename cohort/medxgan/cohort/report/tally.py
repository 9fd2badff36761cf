"""What the rows of a run say together, counted part by part: the memory does not grow with the films."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medxgan.client.vocabulary import VerdictReasonCode, VerdictStatus
from medxgan.cohort.manifest import Run
from medxgan.cohort.run_folder import RunFolder
from medxgan.v1.bundle_pb2 import Bundle

SCORE_BINS = 40
CHECK_BINS, CHECK_RANGE = 80, (-5.0, 3.0)
"""Bins of a measure over its maximum, and from where to where; what is beyond counts for the last."""
ERROR_BINS, ERROR_RANGE = 60, (-5.0, 1.0)
"""The same of the common logarithm of a reconstruction's mean squared error."""
STRETCHES = 20
"""Equal stretches of the run, in the order of its rows."""
SHOWN = 8
"""Films in each list of those to look at first."""
GROUPS = 50
"""Sources, and labels, that are told apart; further ones are counted together."""
OTHERS = "(others)"


@dataclass
class Group:
    """What films of one source, of one label or of one stretch of the run have in common."""

    films: int = 0
    errors: int = 0
    positive: int = 0
    reliable: int = 0
    unfamiliar: int = 0
    score: float = 0.0
    border: float = 0.0
    bordered: int = 0
    level: float = 0.0
    levelled: int = 0

    @property
    def explained(self) -> int:
        """Films that have an explanation."""
        return self.films - self.errors

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a film."""
        self.films += 1
        if row["error_code"] is not None:
            self.errors += 1
            return
        self.positive += row["positive"]
        self.reliable += row["verdict"] == VerdictStatus.RELIABLE
        self.unfamiliar += not row["familiar"]
        self.score += row["score"]
        # Where the classifier calls a film negative, its difference is next to nothing anywhere.
        if row["positive"] and (border := row.get("difference_border_share")) is not None:
            self.border += border
            self.bordered += 1
        if (level := row.get("original_mean")) is not None:
            self.level += level
            self.levelled += 1


@dataclass(frozen=True, order=True)
class Remarkable:
    """A film to look at; more of `amount` is more remarkable."""

    amount: float
    row: int
    film: str = field(compare=False)
    verdict: str = field(compare=False)
    score: float = field(compare=False)


@dataclass
class Tally:
    """What the rows of a run say together.

    Attributes:
        films: number of rows.
        verdicts: by name.
        classes: by the class that the classifier decided for.
        reasons: of the verdicts, by code.
        errors: by code and field.
        scores: by verdict, [bins] from 0 to 1.
        reconstruction: [bins] of the reconstruction's error of films called positive.
        within: of these, how many are within each threshold of the bundle's curve, and within its own at the end.
        inverted: of films called positive, how many were inverted.
        checks: by measure, [bins] of what was measured over its maximum.
        exceeded: by measure, films beyond its maximum.
        unfamiliar: films beyond that of any.
        sources: by source.
        labels: by label.
        stretches: of the run.
        remarkable: films to look at first, by why.
        differences: by verdict, sum [S, S] of the difference maps, and their number.
        originals: by verdict, the same of x.
        milliseconds: of the server for all films.
    """

    films: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    scores: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    reconstruction: NDArray[np.int64] = field(default_factory=lambda: np.zeros(ERROR_BINS, np.int64))
    within: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    inverted: int = 0
    checks: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    exceeded: Counter[str] = field(default_factory=Counter)
    unfamiliar: int = 0
    sources: dict[str, Group] = field(default_factory=lambda: defaultdict(Group))
    labels: dict[str, Group] = field(default_factory=lambda: defaultdict(Group))
    stretches: list[Group] = field(default_factory=lambda: [Group() for _ in range(STRETCHES)])
    remarkable: dict[str, list[Remarkable]] = field(default_factory=lambda: defaultdict(list))
    differences: dict[str, tuple[NDArray[np.float64], int]] = field(default_factory=dict)
    originals: dict[str, tuple[NDArray[np.float64], int]] = field(default_factory=dict)
    milliseconds: float = 0.0

    @property
    def explained(self) -> int:
        """Films that have an explanation."""
        return self.films - self.errors.total()

    @property
    def positive(self) -> int:
        """Films that the classifier calls positive."""
        return sum(group.positive for group in self.stretches)


def tally_run(folder: RunFolder, run: Run, bundle: Bundle) -> Tally:
    """Count the rows and add up the maps of a run, all of whose parts are done."""
    tally = Tally()
    maxima = {measure.name: measure.maximum for measure in bundle.familiarity.measures}
    thresholds = _thresholds(bundle)
    tally.within = np.zeros(len(thresholds), np.int64)
    store = folder.map_store(run)
    for part in range(run.parts):
        with pq.ParquetFile(folder.part_file(part)) as file:
            names = [name for name in _COLUMNS if name in file.schema_arrow.names]
            rows = file.read(columns=[*names, *(f"check_{name}" for name in maxima)]).to_pylist()
        for row in rows:
            _count(tally, row, run.films, maxima, thresholds)
        for name, sums in (("difference", tally.differences), ("original", tally.originals)):
            if name in run.manifest.maps:
                _add_maps(sums, store.read(part, name), [row["verdict"] for row in rows])
    for films in tally.remarkable.values():
        films.sort(reverse=True)
    return tally


_COLUMNS = (
    *("row", "film", "label", "source", "error_code", "error_field", "score", "positive", "predicted_class"),
    *("verdict", "reasons", "familiar", "score_reconstruction", "reconstruction_mse", "total_ms"),
    *("difference_border_share", "original_mean"),
)


def _thresholds(bundle: Bundle) -> NDArray[np.float64]:
    """The thresholds of the reconstruction's error whose coverage the bundle states, and the one that it judges by."""
    reliability = bundle.reliability
    return np.array(
        [*(p.maximum_reconstruction_mse for p in reliability.curve), reliability.maximum_reconstruction_mse]
    )


def _count(
    tally: Tally, row: Mapping[str, Any], films: int, maxima: Mapping[str, float], thresholds: NDArray[np.float64]
) -> None:
    tally.films += 1
    tally.stretches[row["row"] * STRETCHES // films].add(row)
    for value, groups in ((row["source"], tally.sources), (row["label"], tally.labels)):
        if value is not None:
            groups[value if value in groups or len(groups) < GROUPS else OTHERS].add(row)
    if row["error_code"] is not None:
        tally.errors[f"{row['error_code']} ({row['error_field']})"] += 1
        return
    verdict = row["verdict"]
    tally.verdicts[verdict] += 1
    tally.classes[row["predicted_class"]] += 1
    # Each measure that a film is unfamiliar by is a reason of its own.
    tally.reasons.update(set(row["reasons"]))
    tally.milliseconds += row["total_ms"]
    _bin(tally.scores.setdefault(verdict, np.zeros(SCORE_BINS, np.int64)), row["score"], (0.0, 1.0))
    tally.unfamiliar += not row["familiar"]
    beyond = []
    for name, maximum in maxima.items():
        measured = row[f"check_{name}"]
        if measured is None:
            continue
        tally.exceeded[name] += measured > maximum
        beyond.append(measured / maximum if maximum > 0 else measured - maximum)
        _bin(tally.checks.setdefault(name, np.zeros(CHECK_BINS, np.int64)), beyond[-1], CHECK_RANGE)
    if beyond and not row["familiar"]:
        _remark(tally, "unfamiliar", max(beyond), row)
    error = row["reconstruction_mse"]
    if error is None or not row["positive"]:
        return
    tally.inverted += 1
    tally.within += error <= thresholds
    _bin(tally.reconstruction, float(np.log10(max(error, 1e-12))), ERROR_RANGE)
    if row["familiar"]:
        _remark(tally, "reconstruction", error, row)
        if VerdictReasonCode.CLASSIFIER_DISAGREES in row["reasons"]:
            _remark(tally, "disagreement", abs(row["score"] - row["score_reconstruction"]), row)


def _bin(counts: NDArray[np.int64], value: float, limits: tuple[float, float]) -> None:
    low, high = limits
    if np.isfinite(value):
        counts[int(np.clip((value - low) / (high - low) * len(counts), 0, len(counts) - 1))] += 1


def _remark(tally: Tally, why: str, amount: float, row: Mapping[str, Any]) -> None:
    film = Remarkable(amount, row["row"], row["film"], row["verdict"], row["score"])
    films = tally.remarkable[why]
    if len(films) < SHOWN:
        heapq.heappush(films, film)
    else:
        heapq.heappushpop(films, film)


def _add_maps(
    sums: dict[str, tuple[NDArray[np.float64], int]], maps: NDArray[np.float32], verdicts: list[str | None]
) -> None:
    finite = np.isfinite(maps).all(axis=(1, 2))
    for verdict in {verdict for verdict in verdicts if verdict is not None}:
        chosen = finite & np.array([each == verdict for each in verdicts])
        total, count = sums.get(verdict, (np.zeros(maps.shape[1:]), 0))
        sums[verdict] = (total + maps[chosen].sum(axis=0, dtype=np.float64), count + int(chosen.sum()))
