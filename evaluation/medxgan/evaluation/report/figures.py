"""The report's charts, from report.json alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medxgan.evaluation.catalogue import IMAGE_FIGURES, METHOD_FIGURES, of_group
from medxgan.evaluation.coverage import OF_IMAGE, OF_MAP
from medxgan.evaluation.summary import ALL, Report

BASELINE_LINES = (":", "--", "-.")
QUIET = "#8b949e"


def write_figures(report: Report, folder: Path) -> list[str]:
    """Draw what the report has figures for.

    Returns:
        The names of the PNG files.
    """
    written = []
    for name, draw in (
        ("localisation.png", _localisation),
        ("curves.png", _curves),
        ("sanity.png", _sanity),
        ("coverage.png", _coverage),
        ("cost.png", _cost),
    ):
        figure = draw(report)
        if figure is not None:
            figure.savefig(folder / name, format="png", dpi=150)
            written.append(name)
    return written


def _localisation(report: Report) -> Figure | None:
    rows = {**report["methods"], **report["baselines"]}
    panels = [
        figure for figure in of_group(METHOD_FIGURES, "localisation") if figure.name in rows[next(iter(rows))][ALL]
    ]
    if not panels:
        return None
    figure, axes = _panels(len(panels), width=3.4, height=0.6 + 0.27 * len(rows))
    for axis, shown in zip(axes, panels, strict=True):
        estimates = [row[ALL][shown.name] for row in rows.values()]
        values = [each["value"] for each in estimates]
        colors = ["#0969da"] * len(report["methods"]) + [QUIET] * len(report["baselines"])
        _bars(axis, list(rows), values, colors)
        if all(each["low"] is not None for each in estimates):
            reach = [
                [each["value"] - each["low"] for each in estimates],
                [each["high"] - each["value"] for each in estimates],
            ]
            axis.errorbar(
                values, range(len(rows)), xerr=np.clip(reach, 0, None), fmt="none", color="#1b1f24", lw=0.9, capsize=2
            )
        axis.set_xlim(0, 1)
        axis.set_title(shown.title, fontsize=9)
    for axis in axes[1:]:
        axis.set_yticklabels([])
    return figure


def _curves(report: Report) -> Figure:
    figure, axes = _panels(2, width=4.6, height=3.6)
    for axis, kind in zip(axes, ("deletion", "insertion"), strict=True):
        curves = report["curves"][kind]
        for name, curve in curves.items():
            _line(axis, np.linspace(0, 1, len(curve)).tolist(), curve, name, report)
        axis.set(xlabel="share of pixels, most salient first", ylim=(0, 1), xlim=(0, 1))
        better = "lower" if kind == "deletion" else "higher"
        axis.set_title(f"{kind}: probability of the positive class ({better} is better)", fontsize=9)
    axes[-1].legend(fontsize=6.5, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def _sanity(report: Report) -> Figure | None:
    sanity = report["sanity"]
    if sanity is None:
        return None
    figure, (axis,) = _panels(1, width=6.4, height=3.6)
    depths = [0, *(stage["layers_random"] for stage in sanity["stages"])]
    for name, curve in sanity["similarity"].items():
        _line(axis, depths, [1.0, *curve], name, report)
    axis.set(xlabel=f"layers with random weights, from the output down, of {sanity['layers']}", ylim=(-0.3, 1.02))
    axis.axhline(0, color=QUIET, lw=0.7)
    axis.set_xticks(depths)
    axis.set_title("correlation with the trained classifier's map (lower is better)", fontsize=9)
    axis.legend(fontsize=6.5, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def _coverage(report: Report) -> Figure | None:
    coverage = report["coverage"]
    if coverage is None:
        return None
    panels = _coverage_panels(coverage["points"])
    figure, axes = _panels(len(panels), width=4.0, height=3.4)
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        for row, (label, points) in enumerate(lines.items()):
            color = colormaps["tab10"](row)
            shares = [share for share, _ in points]
            axis.plot(shares, [each["value"] for _, each in points], label=label, color=color, marker=".", lw=1.4)
            bands = [(share, each["low"], each["high"]) for share, each in points if each["low"] is not None]
            if bands:
                bounded, low, high = np.transpose(bands)
                axis.fill_between(bounded, low, high, color=color, alpha=0.15, lw=0)
        axis.axvline(coverage["at_threshold"], label="verdict's threshold", color=QUIET, linestyle="--", lw=1)
        axis.set(xlabel="share of explanations kept, smallest error first", xlim=(0, 1.01), ylim=(-0.02, 1.02))
        axis.set_title(title, fontsize=9)
        axis.legend(fontsize=6.5, loc="best", frameon=False)
    return figure


def _coverage_panels(points: Sequence[Report]) -> dict[str, dict[str, list[tuple[float, Report]]]]:
    """Estimates with their coverage, by the title of the panel and the label of the line."""
    titles = {figure.name: figure.title for figure in (*METHOD_FIGURES, *IMAGE_FIGURES)}
    panels = {
        "share of explanations": {
            titles[name]: [(point["coverage"], point[name]) for point in points] for name in OF_IMAGE
        }
    }
    for figure in OF_MAP:
        lines = {
            name.replace("_", " "): [
                (point["coverage"], point["maps"][name][figure]) for point in points if name in point["maps"]
            ]
            for name in points[-1]["maps"]
        }
        if lines:
            panels[titles[figure]] = lines
    return panels


def _cost(report: Report) -> Figure:
    cost = report["cost"]
    figure, (axis,) = _panels(1, width=5.2, height=0.8 + 0.27 * len(cost))
    _bars(axis, list(cost), [each["median_ms"] for each in cost.values()], ["#0969da"] * len(cost))
    axis.set_xscale("log")
    axis.set_title("median time for one image, milliseconds", fontsize=9)
    return figure


def _panels(count: int, width: float, height: float) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(width * count + 1.2, height), layout="constrained", facecolor="white")
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for axis in axes:
        axis.tick_params(labelsize=7)
        axis.xaxis.label.set_size(8)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _bars(axis: Axes, names: Sequence[str], values: Sequence[float], colors: Sequence[str]) -> None:
    axis.barh(range(len(names)), values, color=colors, height=0.72)
    axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axis.invert_yaxis()


def _line(axis: Axes, x: Sequence[float], y: Sequence[float], name: str, report: Report) -> None:
    label = name.replace("_", " ")
    baselines = list(report["baselines"])
    if name in baselines:
        style = BASELINE_LINES[baselines.index(name) % len(BASELINE_LINES)]
        axis.plot(x, y, label=label, color=QUIET, linestyle=style, lw=1.2)
    else:
        axis.plot(x, y, label=label, color=colormaps["tab10"](list(report["methods"]).index(name) % 10), lw=1.4)
