"""What Ray Serve costs, and what its replicas bring: `medxgan serve --ray local` against a server of its own.

    python benchmarks/cluster.py models/brain-lgg/3 [--replicas 1,2] [--callers 1,4,16] [--seconds 20] [--rounds 3]

For each number of replicas a bare server with as many copies of the model stands beside Ray, every replica and every
copy with one batch and the same threads, and each load goes to one after the other, round after round, since a shared
machine is not as fast in one minute as in the next. Every target is asked for the same as by `load.py`. The overhead is
the median, over the rounds, of the bare server's throughput over Ray's, less one. Who asks runs beside them, as does
what Ray needs besides replicas: proxy, controller, raylet, agents. Writes cluster-NAME.json and .md.
"""

import asyncio
import os
import shutil
import socket
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from load import WAITING, Measured, closed_loop
from load_targets import ROOMS, ROOT, Target, asking, medxgan, sample_pictures, started
from measuring import conditions, machine, write_results

RAY_START_SECONDS = 300.0


@dataclass(frozen=True)
class Measurement:
    """One target under one load in one round.

    Attributes:
        replicas: of Ray, or copies of the bare server.
        round: from 0.
        measured: what was measured.
    """

    replicas: int
    round: int
    measured: Measured


def main(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, NAME/VERSION.")],
    replicas: Annotated[str, typer.Option(help="Numbers of replicas.")] = "1,2",
    callers: Annotated[str, typer.Option(help="Numbers of callers.")] = "1,4,16",
    seconds: Annotated[float, typer.Option(min=1, help="Of each load.")] = 20.0,
    rounds: Annotated[int, typer.Option(min=1, help="Of all loads.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each replica and copy.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Compare Ray Serve with a bare server."""
    loads = [int(number) for number in callers.split(",")]
    measurements: list[Measurement] = []
    for number in (int(number) for number in replicas.split(",")):
        options = ["--replicas", str(number)]
        with ExitStack() as running:
            bare = running.enter_context(medxgan("bare server", bundle, ROOT, threads, WAITING, options))
            ray = running.enter_context(_on_ray(bundle, number, threads))
            measurements += asyncio.run(_measure([bare, ray], number, loads, seconds, rounds))
    report = {
        **conditions(threads, "onnxruntime", "grpcio", "ray"),
        "bundle": f"{bundle.parent.name}/{bundle.name}",
        "seconds": seconds,
        "rounds": rounds,
        "measured": [asdict(each) for each in measurements],
    }
    write_results(out, f"cluster-{bundle.parent.name}", report, _page(report, measurements))


@contextmanager
def _on_ray(bundle: Path, replicas: int, threads: int) -> Iterator[Target]:
    with socket.socket() as chosen:
        chosen.bind(("", 0))
        port = chosen.getsockname()[1]
    paths = [*(str(ROOT / room) for room in ROOMS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryDirectory() as models:
        shutil.copytree(bundle, Path(models) / bundle.parent.name / bundle.name)
        where = ["--models", models, "--address", f"0.0.0.0:{port}", "--insecure", "--log-format", "json"]
        number = ["--ray-minimum-replicas", str(replicas), "--ray-maximum-replicas", str(replicas)]
        limits = ["--threads", str(threads), "--maximum-waiting", str(WAITING), "--caller-share", "1"]
        command = [Path(sys.executable).with_name("medxgan"), "serve", "--ray", "local", *where, *number, *limits]
        with started(command, environment, '"serving"', RAY_START_SECONDS) as (process, _):
            yield Target("Ray Serve", process, lambda: asking(f"127.0.0.1:{port}", bundle.parent.name))


async def _measure(
    targets: list[Target], replicas: int, loads: list[int], seconds: float, rounds: int
) -> list[Measurement]:
    pictures, measurements = sample_pictures(), []
    async with AsyncExitStack() as connected:
        asks = [await connected.enter_async_context(target.connect()) for target in targets]
        for ask in asks:
            await asyncio.gather(*(ask(picture) for picture in pictures[:8]))
        for turn in range(rounds):
            for callers in loads:
                for target, ask in zip(targets, asks, strict=True):
                    measured = await closed_loop(target, ask, pictures, callers, seconds)
                    measurements.append(Measurement(replicas, turn, measured))
                    print(measurements[-1], flush=True)
    return measurements


def _page(report: dict[str, Any], measurements: list[Measurement]) -> str:
    lines = [
        f"# Ray Serve against a bare server: {report['bundle']}",
        "",
        f"{machine(report)}. {report['rounds']} rounds of {report['seconds']:g} seconds; medians.",
        "",
        f"    {report['command']}",
        "",
        "| replicas | load | bare: explanations a second | p50, ms | p99, ms | Ray: explanations a second | p50, ms | "
        "p99, ms | overhead |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for replicas, load in dict.fromkeys((each.replicas, each.measured.load) for each in measurements):
        bare, ray = (
            [
                each.measured
                for each in measurements
                if (each.replicas, each.measured.load, each.measured.target) == (replicas, load, target)
            ]
            for target in ("bare server", "Ray Serve")
        )
        rounds = zip(bare, ray, strict=True)
        overhead = statistics.median(one.per_second / other.per_second - 1 for one, other in rounds)
        cells = [
            f"{statistics.median(getattr(each, name) for each in of):.{digits}f}"
            for of in (bare, ray)
            for name, digits in (("per_second", 2), ("p50", 0), ("p99", 0))
        ]
        lines.append(f"| {replicas} | {load} | {' | '.join(cells)} | {overhead:+.1%} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
