"""The plots of a report, each as the source of an image that lies in the page itself."""

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from medxgan.client.geometry import FloatArray
from medxgan.cohort.report.tally import CHECK_RANGE, ERROR_RANGE, Group

COLOURS = {
    "reliable": "#0072b2",
    "not_reliable": "#e69f00",
    "not_applicable": "#8c8c8c",
    "not_assessed": "#56b4e9",
}
"""Of the verdicts: told apart by who confuses red and green (Okabe and Ito)."""

INK, GRID, WARNING = "#1f2933", "#d9dee3", "#b03a00"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "medxgan",
    "svg.fonttype": "path",
}


def score_histogram(scores: Mapping[str, NDArray[np.int64]], threshold: float, positive_class: str) -> str:
    """Scores of all films, stacked by verdict."""
    figure, axes = _axes()
    edges = np.linspace(0, 1, len(next(iter(scores.values()))) + 1)
    bottom = np.zeros(len(edges) - 1)
    for verdict, colour in COLOURS.items():
        if verdict in scores:
            label = verdict.replace("_", " ")
            axes.bar(edges[:-1], scores[verdict], np.diff(edges), bottom, align="edge", color=colour, label=label)
            bottom += scores[verdict]
    axes.axvline(threshold, color=WARNING, linestyle="--", label="decision threshold")
    axes.set(xlabel=f"score: probability of {positive_class}", ylabel="films", xlim=(0, 1))
    axes.legend(frameon=False)
    return _svg(figure)


def check_histogram(counts: NDArray[np.int64], name: str) -> str:
    """One measure of how unlike films are to those of the training, over its maximum."""
    figure, axes = _axes(height=2.2)
    edges = np.linspace(*CHECK_RANGE, len(counts) + 1)
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=COLOURS["reliable"])
    axes.axvline(1, color=WARNING, linestyle="--", label="greatest value of a familiar film")
    axes.set(xlabel=f"{name.replace('_', ' ')}, over its maximum", ylabel="films", xlim=CHECK_RANGE)
    axes.legend(frameon=False, loc="upper left")
    return _svg(figure)


def reconstruction_histogram(counts: NDArray[np.int64], threshold: float) -> str:
    """The reconstruction's error of films called positive."""
    figure, axes = _axes(height=2.2)
    edges = np.logspace(*ERROR_RANGE, len(counts) + 1)
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=COLOURS["reliable"])
    axes.axvline(threshold, color=WARNING, linestyle="--", label="too far beyond this")
    axes.set(xscale="log", xlabel="mean squared error of the reconstruction, grey levels in [-1, 1]", ylabel="films")
    axes.legend(frameon=False, loc="upper left")
    return _svg(figure)


def coverage_curve(stated: Sequence[float], here: Sequence[float]) -> str:
    """Share of films within thresholds of the error: as the model's card states it, and in this run."""
    figure, axes = _axes(height=2.8, width=3.6)
    axes.plot([0, 1], [0, 1], color=GRID)
    axes.plot(stated, here, "o-", color=COLOURS["reliable"])
    axes.set(xlabel="share in the card's test", ylabel="share in this run", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_aspect("equal")
    return _svg(figure)


def along_the_run(stretches: Sequence[Group]) -> str:
    """Score, and the share of unfamiliar films, along the run."""
    figure, axes = _axes(height=2.4)
    shown = [(place, each) for place, each in enumerate(stretches) if each.explained]
    places = [(place + 0.5) / len(stretches) for place, _ in shown]
    lines = (
        ("mean score", "reliable", "o-", [each.score / each.explained for _, each in shown]),
        ("share called positive", "not_reliable", "s-", [each.positive / each.explained for _, each in shown]),
        ("share unfamiliar", "not_applicable", "^-", [each.unfamiliar / each.explained for _, each in shown]),
    )
    for label, colour, marker, values in lines:
        axes.plot(places, values, marker, markersize=4, color=COLOURS[colour], label=label)
    axes.set(xlabel="place in the run, in the order of the rows", xlim=(0, 1), ylim=(-0.02, 1.02))
    axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.2))
    return _svg(figure)


def mean_maps(
    differences: Mapping[str, tuple[NDArray[np.float64], int]],
    originals: Mapping[str, tuple[NDArray[np.float64], int]],
) -> str:
    """The mean of x and of the difference, by verdict, all differences on one scale."""
    verdicts = [verdict for verdict in COLOURS if differences.get(verdict, (None, 0))[1]]
    means = {verdict: differences[verdict][0] / differences[verdict][1] for verdict in verdicts}
    scale = max(1e-6, *(float(np.abs(mean).max()) for mean in means.values()))
    with mpl.rc_context(STYLE):
        figure = Figure((2.4 * len(verdicts) + 0.8, 4.8), layout="constrained")
        grid = figure.subplots(2, len(verdicts), squeeze=False)
        for column, verdict in enumerate(verdicts):
            count = differences[verdict][1]
            above, below = grid[0][column], grid[1][column]
            above.set_title(f"{verdict.replace('_', ' ')}\n{count} film{'s' if count > 1 else ''}", fontsize=9)
            total, number = originals.get(verdict, (None, 0))
            if total is not None and number:
                above.imshow(total / number, cmap="gray", vmin=-1, vmax=1)
            shown = below.imshow(means[verdict], cmap="RdBu_r", vmin=-scale, vmax=scale)
            for axes in (above, below):
                axes.set_axis_off()
        bar = figure.colorbar(shown, ax=grid[1].tolist(), shrink=0.8)
        bar.set_label("mean difference")
        return _png(figure)


def film_strip(pictures: Mapping[str, FloatArray]) -> str:
    """The maps of one film side by side, the difference in colour."""
    with mpl.rc_context(STYLE):
        figure = Figure((1.5 * len(pictures), 1.75), layout="constrained")
        for axes, (name, values) in zip(
            figure.subplots(1, len(pictures), squeeze=False)[0], pictures.items(), strict=True
        ):
            if name == "difference":
                axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
            else:
                axes.imshow(values, cmap="gray", vmin=-1, vmax=1)
            axes.set_title(name.replace("_", " "), fontsize=7)
            axes.set_axis_off()
        return _png(figure)


def _axes(height: float = 3.0, width: float = 6.6) -> tuple[Figure, Axes]:
    with mpl.rc_context(STYLE):
        figure = Figure((width, height), layout="constrained")
        axes = figure.subplots()
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure) -> str:
    with mpl.rc_context(STYLE):
        file = io.BytesIO()
        # Without the time of day: the same run has the same page.
        figure.savefig(file, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{b64encode(file.getvalue()).decode()}"


def _png(figure: Figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
