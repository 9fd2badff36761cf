"""The curves in one picture."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from simulation.experiments import Row


def draw(tables: dict[str, list[Row]], file: Path) -> None:
    """Latency by load, size, rule, bursts and priority; and its price."""
    figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
    _curves(axes[0, 0], tables["under load"], "copies", "p99", "by size of the fleet (Poisson)")
    _curves(axes[0, 1], tables["balancing"], "rule", "p99", "by balancing (100 copies)")
    _curves(axes[0, 2], tables["bursts"], "arrivals", "p99", "by arrivals (2 copies)")
    _curves(axes[1, 0], tables["priorities"], "requests", "p99", "by priority (2 copies)")
    _cost(axes[1, 1], tables["under load"])
    _batches(axes[1, 2], tables["batches"], tables["assumed devices"])
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _curves(axes: Axes, rows: list[Row], by: str, of: str, title: str) -> None:
    for each in dict.fromkeys(row[by] for row in rows):
        own = [row for row in rows if row[by] == each]
        label = f"{each} copies" if by == "copies" else str(each)
        axes.plot([100 * float(row["share"]) for row in own], [float(row[of]) for row in own], marker="o", label=label)
    axes.set(title=title, xlabel="share of capacity, %", ylabel=f"{of}, s", yscale="log")
    axes.legend(frameon=False, fontsize=8)


def _cost(axes: Axes, rows: list[Row]) -> None:
    for each in dict.fromkeys(row["copies"] for row in rows):
        own = [row for row in rows if row["copies"] == each]
        seconds, latencies = ([float(row[of]) for row in own] for of in ("core_seconds_each", "p99"))
        axes.plot(seconds, latencies, marker="o", label=f"{each} copies")
    axes.set(title="latency and cost", xlabel="core-seconds an explanation", ylabel="p99, s", yscale="log")
    axes.legend(frameon=False, fontsize=8)


def _batches(axes: Axes, measured: list[Row], assumed: list[Row]) -> None:
    sizes = [int(row["batch"]) for row in measured]
    axes.plot(sizes, [float(row["per_second"]) for row in measured], marker="o", color="black", label="measured")
    for row in assumed:
        rates = [float(row[f"batch {size}"]) for size in sizes]
        axes.plot(sizes, rates, linestyle=":", marker=".", label=f"assumed: {float(row['free']):.0%} of a step free")
    axes.set(title="capacity by batch (2 copies)", xlabel="largest batch", ylabel="explanations a second", xscale="log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)
