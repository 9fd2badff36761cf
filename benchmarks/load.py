"""A server under load, against the same inversion behind Triton and behind PyTorch eager.

    python benchmarks/load.py models/chest/9 --run training/weights/chest-128 [--against COMMIT] [--triton PYTHON]

Closed loop: 1 to 64 callers, each asking again as soon as it is answered. Open loop: callers that come by chance
(Poisson) at shares of the capacity that the closed loop found, whether or not the server keeps up. Mixed: urgent
requests by chance, a tenth of the capacity, beside 16 callers that are not; the times are those of the urgent ones. And
one caller right after eight others left, who had asked for long inversions. Every target is asked for the same:
reconstruction, negative realization and difference of a 256x256 picture, by as many steps as the bundle takes by
default: of its own solver with medxgan, of Adam with the others. All targets stand ready, and each load goes to one
after the other, since a shared machine is not as fast in one minute as in the next. Who asks runs beside them.

medxgan is asked as it comes, with a copy of the model for each thread, and with one copy that has all threads.
--against starts `medxgan serve` of another commit of this repository, with the bundle of that name which it shipped;
--triton names the Python of an environment with `nvidia-pytriton` and `onnxruntime` (and wants `tritonclient[grpc]`
beside medxgan). Writes load-NAME.json, .md and .png.
"""

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import typer
from load_targets import ROOT, Ask, Order, Picture, Target, eager, medxgan, sample_pictures, triton
from measuring import conditions, machine, processor_seconds, write_results

CALLERS = (1, 4, 16, 64)
SHARES = (0.5, 0.7, 0.9)
ROUTINE_CALLERS = 16
URGENT_SHARE = 0.1
LEAVING = 8
LONG_STEPS = 100
"""Of those who leave."""
ROUNDS_OF_LEAVING = 2
WAITING = 512
"""Explanations that may wait: a refusal would look like a quick answer."""

Sent = TypeVar("Sent")


@dataclass(frozen=True)
class Measured:
    """One target under one load.

    Attributes:
        target: its name.
        load: "16 callers", "70 % of capacity" or another one, in words.
        answered: explanations in the time.
        per_second: of them.
        p50: milliseconds until half were answered, as are the next.
        p95: 95 %.
        p99: 99 %.
        mean: milliseconds until an answer.
        cores: processors that the server kept busy.
    """

    target: str
    load: str
    answered: int
    per_second: float
    p50: float
    p95: float
    p99: float
    mean: float
    cores: float


def main(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, NAME/VERSION.")],
    run: Annotated[Path | None, typer.Option(help="Training run that it was made from, for PyTorch eager.")] = None,
    against: Annotated[str, typer.Option(help="Another commit of this repository.")] = "",
    triton_python: Annotated[Path | None, typer.Option("--triton", help="Python with nvidia-pytriton.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Of each load.")] = 20.0,
    threads: Annotated[int, typer.Option(min=1, help="That compute, of each.")] = os.cpu_count() or 1,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Put servers under load."""
    targets: list[AbstractContextManager[Target]] = [medxgan("medxgan", bundle, ROOT, threads, WAITING)]
    if threads > 1:
        targets.append(medxgan("medxgan, one copy", bundle, ROOT, threads, WAITING, ["--replicas", "1"]))
    if against:
        targets.append(_of_commit(against, bundle, threads))
    if triton_python is not None:
        targets.append(triton(triton_python, bundle, threads))
    if run is not None:
        targets.append(eager(run, bundle, threads))
    with ExitStack() as running:
        measured = asyncio.run(_measure([running.enter_context(target) for target in targets], seconds))
    report = {
        **conditions(threads, "onnxruntime", "grpcio"),
        "bundle": f"{bundle.parent.name}/{bundle.name}",
        "seconds": seconds,
        "measured": [asdict(each) for each in measured],
    }
    write_results(out, f"load-{bundle.parent.name}", report, _page(report, measured))
    _draw(measured, out / f"load-{bundle.parent.name}.png")


@contextmanager
def _of_commit(commit: str, bundle: Path, threads: int) -> Iterator[Target]:
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", ROOT, "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", tree, commit], check=True)
        try:
            shipped = max((tree / "models" / bundle.parent.name).iterdir(), key=lambda folder: int(folder.name))
            name = f"medxgan at {commit[:7]}, {bundle.parent.name}/{shipped.name}"
            with medxgan(name, shipped, tree, threads, WAITING) as target:
                yield target
        finally:
            subprocess.run([*git, "remove", "--force", tree], check=True)


async def _measure(targets: list[Target], seconds: float) -> list[Measured]:
    pictures = sample_pictures()
    measured = []
    async with asking_all(targets, pictures) as asks:
        for callers in CALLERS:
            for target, ask in zip(targets, asks, strict=True):
                measured.append(await closed_loop(target, ask, pictures, callers, seconds))
                print(measured[-1], flush=True)
        capacity = {
            target.name: max(each.per_second for each in measured if each.target == target.name) for target in targets
        }
        for share in SHARES:
            for target, ask in zip(targets, asks, strict=True):
                measured.append(await open_loop(target, ask, pictures, share, capacity[target.name], seconds))
                print(measured[-1], flush=True)
        for target, ask in zip(targets, asks, strict=True):
            measured.append(await _mixed(target, ask, pictures, capacity[target.name], seconds))
            print(measured[-1], flush=True)
        for target, ask in zip(targets, asks, strict=True):
            measured.append(await _after_others_left(target, ask, pictures))
            print(measured[-1], flush=True)
    return measured


@asynccontextmanager
async def asking_all(targets: Sequence[Target], pictures: Sequence[Picture]) -> AsyncIterator[list[Ask]]:
    """What asks each target, once it has answered and does nothing for the first time any more."""
    async with AsyncExitStack() as connected:
        asks = [await connected.enter_async_context(target.connect()) for target in targets]
        for ask in asks:
            await asyncio.gather(*(ask(picture) for picture in pictures[:8]))
        yield asks


async def closed_loop(
    target: Target, ask: Callable[[Sent], Awaitable[object]], pictures: Sequence[Sent], callers: int, seconds: float
) -> Measured:
    """Callers who each ask again as soon as they are answered."""
    times: list[float] = []
    ends = time.perf_counter() + seconds

    async def call(caller: int) -> None:
        number = caller
        while time.perf_counter() < ends:
            began = time.perf_counter()
            await ask(pictures[number % len(pictures)])
            times.append(time.perf_counter() - began)
            number += callers

    began, busy = time.perf_counter(), processor_seconds(target.process)
    await asyncio.gather(*(call(caller) for caller in range(callers)))
    return _summary(target, f"{callers} callers", times, began, busy)


async def open_loop(
    target: Target, ask: Ask, pictures: list[Picture], share: float, capacity: float, seconds: float
) -> Measured:
    """Callers who come by chance (Poisson) at a share of a capacity, whether or not the server keeps up."""
    times: list[float] = []
    random = np.random.default_rng(0)

    async def call(number: int) -> None:
        came = time.perf_counter()
        await ask(pictures[number % len(pictures)])
        times.append(time.perf_counter() - came)

    began, busy = time.perf_counter(), processor_seconds(target.process)
    calls = []
    while time.perf_counter() - began < seconds:
        calls.append(asyncio.create_task(call(len(calls))))
        await asyncio.sleep(random.exponential(1 / (share * capacity)))
    await asyncio.gather(*calls)
    return _summary(target, f"{share:.0%} of capacity", times, began, busy)


async def _mixed(target: Target, ask: Ask, pictures: list[Picture], capacity: float, seconds: float) -> Measured:
    times: list[float] = []
    random = np.random.default_rng(0)

    async def routine(number: int) -> None:
        while True:
            await ask(pictures[number % len(pictures)])
            number += ROUTINE_CALLERS

    async def urgent(number: int) -> None:
        came = time.perf_counter()
        await ask(pictures[number % len(pictures)], Order(urgent=True))
        times.append(time.perf_counter() - came)

    others = [asyncio.create_task(routine(number)) for number in range(ROUTINE_CALLERS)]
    began, busy = time.perf_counter(), processor_seconds(target.process)
    calls: list[asyncio.Task[None]] = []
    while time.perf_counter() - began < seconds:
        await asyncio.sleep(random.exponential(1 / (URGENT_SHARE * capacity)))
        calls.append(asyncio.create_task(urgent(len(calls))))
    await asyncio.gather(*calls)
    found = _summary(target, f"urgent, beside {ROUTINE_CALLERS} callers", times, began, busy)
    await _cancelled(others)
    return found


async def _after_others_left(target: Target, ask: Ask, pictures: list[Picture]) -> Measured:
    times: list[float] = []
    began, busy = time.perf_counter(), processor_seconds(target.process)
    for _ in range(ROUNDS_OF_LEAVING):
        others = [asyncio.create_task(_long(ask, picture)) for picture in pictures[:LEAVING]]
        await asyncio.sleep(0.5)
        await _cancelled(others)
        came = time.perf_counter()
        await ask(pictures[0])
        times.append(time.perf_counter() - came)
    return _summary(target, f"1 caller, {LEAVING} others having left", times, began, busy)


async def _long(ask: Ask, picture: Picture) -> None:
    await ask(picture, Order(steps=LONG_STEPS))


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _summary(target: Target, load: str, times: list[float], began: float, busy: float) -> Measured:
    seconds = time.perf_counter() - began
    p50, p95, p99 = (1000 * float(np.percentile(times, percent)) for percent in (50, 95, 99))
    mean = 1000 * float(np.mean(times))
    cores = (processor_seconds(target.process) - busy) / seconds
    return Measured(target.name, load, len(times), len(times) / seconds, p50, p95, p99, mean, cores)


def _page(report: dict[str, Any], measured: list[Measured]) -> str:
    own = {each.load: each for each in measured if each.target == "medxgan"}
    lines = [
        f"# Under load: {report['bundle']}",
        "",
        f"{machine(report)}. {report['seconds']:g} seconds each.",
        "",
        f"    {report['command']}",
        "",
        "| load | server | explanations a second | p50, ms | p95, ms | p99, ms | cores busy | medxgan's throughput "
        "over its | its p99 over medxgan's |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for load in own:
        for each in (each for each in measured if each.load == load):
            ratios = f"{own[load].per_second / each.per_second:.2f} | {each.p99 / own[load].p99:.2f}"
            times = f"{each.p50:.0f} | {each.p95:.0f} | {each.p99:.0f} | {each.cores:.2f}"
            ratios = " | " if each.target == "medxgan" else ratios
            lines.append(f"| {load} | {each.target} | {each.per_second:.2f} | {times} | {ratios} |")
    lines += ["", "A share of capacity is of each server's own: the best throughput of its closed loop."]
    return "\n".join(lines) + "\n"


def _draw(measured: list[Measured], file: Path) -> None:
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name in dict.fromkeys(each.target for each in measured):
        by_load = {each.load: each for each in measured if each.target == name}
        rows = [by_load[f"{callers} callers"] for callers in CALLERS]
        axes.plot(CALLERS, [each.per_second for each in rows], marker="o", label=name)
    axes.set(xscale="log", xticks=CALLERS, xticklabels=CALLERS, xlabel="callers", ylabel="explanations a second")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    typer.run(main)
