"""The results as Markdown."""

from collections.abc import Sequence
from typing import Any

from measuring import machine

from simulation.check import Checked
from simulation.experiments import Row

TITLES = {
    "under load": "Latency and cost by load: Poisson arrivals, the server that has least to do",
    "balancing": "Which server: 100 copies, two a server",
    "bursts": "Bursts: one server, the same mean rate",
    "priorities": "Urgent requests, a tenth of all: one server",
    "batches": "What batching buys as measured: one server; shares of the best capacity",
    "assumed devices": "What batching would buy on a device where a share of a step costs the same for every batch "
    "(assumed, none was measured): explanations a second of one server",
    "autoscaling": "Autoscaling: half past 7 to half past 8 of the assumed day, the rate rising at 8",
    "plan": "Servers for the films of a day",
    "prices": "A thousand explanations by the price of one core for an hour, in its currency",
}


def curves_page(report: dict[str, Any], tables: dict[str, list[Row]]) -> str:
    """The page of `scale.py curves`."""
    lines = [
        f"# Scale, simulated: {report['model']}",
        "",
        f"Simulated from what was measured on: {machine(report['measured_on'])}. No GPU was measured.",
        "",
        f"    {report['command']}",
        "",
        "Times in seconds; a server is a machine of two cores with two copies of the model. `share` is of its "
        f"capacity, {report['of_server']:.2f} explanations a second; `core_seconds_each` is of all cores, idle or not.",
    ]
    for name, rows in tables.items():
        lines += ["", f"## {TITLES[name]}", "", *_table(rows)]
    return "\n".join(lines) + "\n"


def check_page(report: dict[str, Any], checked: Sequence[Checked]) -> str:
    """The page of `scale.py check`."""
    lines = [
        f"# The simulation against real servers: {report['model']}",
        "",
        f"{machine(report)}. {report['seconds']:g} seconds each.",
        "",
        f"    {report['command']}",
        "",
        "`medxgan serve --replicas COPIES --threads 1` and real clients on the same machine; the simulation has the "
        "same arrivals. Copies beyond the cores share these. Of cores that others kept busy the simulation knows "
        "nothing: where there are any, the servers are slower than it says.",
        "",
        *_checked(checked),
    ]
    return "\n".join(lines) + "\n"


def replay_page(report: dict[str, Any], replayed: Sequence[Checked]) -> str:
    """The page of `scale.py replay`."""
    measured = report["measured_on"]
    lines = [
        f"# The simulation against an earlier measurement: {report['model']}",
        "",
        f"{machine(report)}.",
        "",
        f"    {report['command']}",
        "",
        f"Measured of {measured['bundle']} on {measured['cpu']}, {measured['cores']} cores, load average at the end "
        f"{measured['load_average']:.1f}, by `{measured['command']}`: the open loop of two copies, whose arrivals the "
        "simulation draws anew from the same seed. Few requests: the tails are those of single ones.",
        "",
        *_checked(replayed),
    ]
    return "\n".join(lines) + "\n"


def _checked(checked: Sequence[Checked]) -> list[str]:
    lines = [
        "| copies | share of capacity | answered | measured p50, p95, p99, ms | predicted | ratios | others' cores |",
        "|---:|---:|---:|---|---|---|---:|",
    ]
    for each in checked:
        measured, predicted = (", ".join(f"{value:.0f}" for value in row) for row in (each.measured, each.predicted))
        ratios = ", ".join(f"{value:.2f}" for value in each.ratios)
        others = "not known" if each.others is None else f"{each.others:.2f}"
        row = f"| {each.copies} | {each.share:.0%} | {each.answered} | {measured} | {predicted} | {ratios} | {others} |"
        lines.append(row)
    return lines


def _table(rows: Sequence[Row]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for row in rows:
        cells = (row.get(name, "") for name in names)
        lines.append("| " + " | ".join(each if isinstance(each, str) else f"{each:.4g}" for each in cells) + " |")
    return lines
