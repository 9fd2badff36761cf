"""The page of a report: one file, which asks for nothing and runs nothing."""

from collections.abc import Mapping
from functools import partial
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from medxgan.client.geometry import FloatArray
from medxgan.cohort.durable import write_durably
from medxgan.cohort.manifest import Run
from medxgan.cohort.map_store import MapStore
from medxgan.cohort.report import plots
from medxgan.cohort.report.tally import OTHERS, Group, Remarkable, Tally
from medxgan.cohort.run_folder import RunFolder
from medxgan.v1.bundle_pb2 import Bundle

STRIP = ("original", "reconstruction", "negative_realization", "difference")
"""What is shown of a film to look at, where the run kept it."""

WHY = {
    "reconstruction": (
        "Worst reconstruction",
        "mean squared error",
        "Called positive and familiar, and drawn again with the greatest error.",
    ),
    "disagreement": (
        "Disagreement",
        "difference of scores",
        "The classifier decides otherwise for the film than for its reconstruction.",
    ),
    "unfamiliar": (
        "Unfamiliar",
        "over the maximum",
        "Most unlike the films of the training: another part of the body, a spoilt film, another device.",
    ),
}
"""Heading, what is measured, and a sentence, for each list of films to look at first."""

TRUSTED_MARGIN = 1.96
"""Standard deviations on both sides of a 95 % interval."""


def write_report(path: Path, tally: Tally, run: Run, bundle: Bundle) -> None:
    """Write the page, whole or not at all."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"share": share, "words": _words}
    folder = RunFolder(path.parent)
    page = environment.get_template("page.html.j2").render(
        tally=tally,
        run=run,
        manifest=run.manifest,
        bundle=bundle,
        plots=_plots(tally, bundle),
        look=_look(tally, folder.map_store(run), run),
        why=WHY,
        sources=_groups(tally.sources),
        labels=_groups(tally.labels),
        others=OTHERS,
        expected=_expected(tally, bundle),
    )
    write_durably(path, partial(_write_text, page))


def share(count: int, total: int) -> str:
    """A share with Wilson's 95 % interval: `12 % [9, 16]`; with a decimal where it is small."""
    if not total:
        return "-"
    low, high = interval(count, total)
    digits = 0 if count >= total / 10 else 1
    return f"{100 * count / total:.{digits}f} % [{100 * low:.{digits}f}, {100 * high:.{digits}f}]"


def interval(count: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, films taken for independent."""
    z = TRUSTED_MARGIN
    rate = count / total
    middle = rate + z * z / (2 * total)
    margin = z * sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # By rounding, an end may pass the share itself.
    return max(0.0, min(rate, (middle - margin) / scale)), min(1.0, max(rate, (middle + margin) / scale))


def _expected(tally: Tally, bundle: Bundle) -> list[dict[str, Any]]:
    """What the bundle states of its test and calibration films, beside the same of this run."""
    rows: list[dict[str, Any]] = []

    def compare(what: str, stated: float, measured_on: str, count: int, total: int) -> None:
        if total:
            low, high = interval(count, total)
            rows.append(
                {
                    "what": what,
                    "stated": f"{100 * stated:.1f} %",
                    "measured_on": measured_on,
                    "here": share(count, total),
                    "outside": not low <= stated <= high,
                }
            )

    familiarity, reliability = bundle.familiarity, bundle.reliability
    if familiarity.HasField("false_alarm_rate"):
        rate, on = familiarity.false_alarm_rate, familiarity.measured_on
        compare("films called unfamiliar", rate, on, tally.unfamiliar, tally.explained)
    if reliability.HasField("promise"):
        promise, reliable = reliability.promise, tally.verdicts["reliable"]
        compare("RELIABLE, of films called positive", promise.coverage, promise.measured_on, reliable, tally.positive)
    curve = [metric for metric in bundle.metrics if metric.name == "reconstruction_mse"]
    for point, count in zip(reliability.curve, tally.within.tolist(), strict=False):
        if abs(point.coverage - 0.9) < 0.05 and curve:
            what = f"reconstruction's error within {point.maximum_reconstruction_mse:.3g}, of films called positive"
            compare(what, point.coverage, curve[0].measured_on, count, tally.inverted)
            break
    return rows


def _plots(tally: Tally, bundle: Bundle) -> dict[str, Any]:
    drawn: dict[str, Any] = {"checks": {name: plots.check_histogram(each, name) for name, each in tally.checks.items()}}
    if tally.scores:
        classification = bundle.classification
        drawn["scores"] = plots.score_histogram(
            tally.scores, classification.decision_threshold, classification.positive_class
        )
        drawn["along"] = plots.along_the_run(tally.stretches)
    if tally.inverted:
        reliability = bundle.reliability
        drawn["reconstruction"] = plots.reconstruction_histogram(
            tally.reconstruction, reliability.maximum_reconstruction_mse
        )
        if reliability.curve:
            stated = [point.coverage for point in reliability.curve]
            drawn["coverage"] = plots.coverage_curve(stated, (tally.within[:-1] / tally.inverted).tolist())
    if any(count for _, count in tally.differences.values()):
        drawn["mean_maps"] = plots.mean_maps(tally.differences, tally.originals)
    return drawn


def _look(tally: Tally, store: MapStore, run: Run) -> dict[str, list[tuple[Remarkable, str]]]:
    """The films to look at first, with their pictures."""
    kept = [name for name in STRIP if name in run.manifest.maps]

    def strip(film: Remarkable) -> str:
        pictures: Mapping[str, FloatArray] = {name: store.film(film.row, name) for name in kept}
        shown = {name: values for name, values in pictures.items() if np.isfinite(values).all()}
        return plots.film_strip(shown) if shown else ""

    return {why: [(film, strip(film)) for film in tally.remarkable[why]] for why in WHY if tally.remarkable.get(why)}


def _groups(groups: Mapping[str, Group]) -> list[tuple[str, Group]]:
    """The largest first."""
    return sorted(groups.items(), key=lambda item: (-item[1].films, item[0]))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")
