"""What a batch buys: one server by the most inversions that it lets advance together.

    python benchmarks/batches.py models/chest/9 [models/phantom/3 ...] [--batches 1 --batches 2 ...] [--seconds S]

Sixteen callers, each asking again as soon as it is answered, and callers who come by chance at shares of what the best
setting answers to those: the same arrivals for all settings, one after the other. Where a batch answers more than its
rows do one by one, a larger one wins the first; where it does not, rows that advance together all end late, and a
smaller one wins the second. Writes batches.json and .md.
"""

import asyncio
import os
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from load import WAITING, Measured, asking_all, closed_loop, open_loop
from load_targets import ROOT, Target, medxgan, sample_pictures
from measuring import conditions, machine, write_results

CALLERS = 16
SHARES = (0.7, 0.9)


def main(
    bundles: Annotated[list[Path], typer.Argument(help="Bundle folders, NAME/VERSION.")],
    batches: Annotated[list[int], typer.Option(min=1, help="Values of --maximum-batch.")] = [1, 2, 4, 8, 16],  # noqa: B006 - typer
    replicas: Annotated[int, typer.Option(min=1, help="Copies of the model, which share the threads.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, help="Of each load.")] = 8.0,
    threads: Annotated[int, typer.Option(min=1, help="That compute, in all.")] = os.cpu_count() or 1,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Put servers with batches of several sizes under load."""
    found: dict[str, list[Measured]] = {}
    for bundle in bundles:
        with ExitStack() as running:
            targets = [
                running.enter_context(medxgan(f"{batch}", bundle, ROOT, threads, WAITING, _options(batch, replicas)))
                for batch in batches
            ]
            found[f"{bundle.parent.name}/{bundle.name}"] = asyncio.run(_measure(targets, seconds))
    report = {
        **conditions(threads, "onnxruntime", "grpcio"),
        "replicas": replicas,
        "seconds": seconds,
        "measured": {name: [asdict(each) for each in measured] for name, measured in found.items()},
    }
    write_results(out, "batches", report, _page(report, found))


def _options(batch: int, replicas: int) -> list[str]:
    return ["--maximum-batch", str(batch), "--replicas", str(replicas)]


async def _measure(targets: list[Target], seconds: float) -> list[Measured]:
    pictures = sample_pictures()
    measured = []
    async with asking_all(targets, pictures) as asks:
        for target, ask in zip(targets, asks, strict=True):
            measured.append(await closed_loop(target, ask, pictures, CALLERS, seconds))
            print(measured[-1], flush=True)
        capacity = max(each.per_second for each in measured)
        for share in SHARES:
            for target, ask in zip(targets, asks, strict=True):
                measured.append(await open_loop(target, ask, pictures, share, capacity, seconds))
                print(measured[-1], flush=True)
    return measured


def _page(report: dict[str, Any], found: dict[str, list[Measured]]) -> str:
    lines = [
        "# By the size of the batch",
        "",
        f"{machine(report)}. {report['seconds']:g} seconds each; copies of the model: {report['replicas']}.",
        "",
        f"    {report['command']}",
    ]
    for name, measured in found.items():
        lines += [
            "",
            f"## {name}",
            "",
            "| load | largest batch | explanations a second | p50, ms | p95, ms | p99, ms | mean, ms | cores busy |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for each in measured:
            times = " | ".join(f"{time:.0f}" for time in (each.p50, each.p95, each.p99, each.mean))
            lines.append(f"| {each.load} | {each.target} | {each.per_second:.2f} | {times} | {each.cores:.2f} |")
    lines += ["", "A share of capacity is of the best setting's throughput with the callers above."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
