"""The simulation against the real thing: the same arrivals to a real server and to the simulated one."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from load_targets import ROOT, Ask, Picture, Target, medxgan
from measuring import busy_seconds, processor_seconds

from simulation.arrivals import Arrivals, poisson
from simulation.calibration import Calibration
from simulation.fleet import Fleet, simulate
from simulation.server import ServerPolicy

SHARES = (0.5, 0.7, 0.9)
COPIES = (1, 2, 3, 4)
WAITING = 512
"""Explanations that may wait: a refusal would look like a quick answer."""

SATURATION = 400
"""Simulated requests that come at once, by which the capacity is told."""


@dataclass(frozen=True)
class Checked:
    """One load on a real server, and what the simulation makes of the same arrivals. Latencies are in milliseconds.

    Attributes:
        copies: of the model.
        share: of the simulated capacity, that was asked for.
        answered: explanations.
        measured: p50, p95 and p99.
        predicted: the same.
        others: cores that anything but server and callers kept busy meanwhile; the simulation knows of none. None where
            that is not known.
    """

    copies: int
    share: float
    answered: int
    measured: tuple[float, float, float]
    predicted: tuple[float, float, float]
    others: float | None

    @property
    def ratios(self) -> tuple[float, ...]:
        """Predicted over measured."""
        return tuple(ours / real for ours, real in zip(self.predicted, self.measured, strict=True))


def capacity(calibration: Calibration, policy: ServerPolicy) -> float:
    """Explanations a second of one server that always has work waiting."""
    boundless = ServerPolicy(policy.copies, policy.maximum_rows, None)
    arrivals = Arrivals.at(np.zeros(SATURATION * policy.copies))
    return simulate(Fleet(1, boundless), calibration, arrivals).throughput


def check(
    folder: Path, calibration: Calibration, pictures: list[Picture], seconds: float, copies: Sequence[int] = COPIES
) -> list[Checked]:
    """Ask real servers with 1 to 4 copies, one thread each, by chance, and simulate the same.

    Args:
        folder: of the bundle, NAME/VERSION.
        calibration: of this machine.
        pictures: uint8 [H, W].
        seconds: of each load.
        copies: of the model, one server after the other.
    """
    found = []
    for number in copies:
        policy = ServerPolicy(number, maximum_waiting=WAITING)
        options = ["--replicas", str(number), "--maximum-batch", str(policy.maximum_rows)]
        with medxgan(f"{number} copies", folder, ROOT, 1, WAITING, options) as target:
            for share in SHARES:
                rate = share * capacity(calibration, policy)
                found.append(asyncio.run(_load(target, calibration, policy, pictures, share, rate, seconds)))
                print(found[-1], flush=True)
    return found


async def _load(
    target: Target,
    calibration: Calibration,
    policy: ServerPolicy,
    pictures: list[Picture],
    share: float,
    rate: float,
    seconds: float,
) -> Checked:
    planned = poisson(rate, max(2, round(rate * seconds)), np.random.default_rng(0)).times
    async with target.connect() as ask:
        await asyncio.gather(*(ask(picture) for picture in pictures[: policy.copies]))
        began, busy, own = time.perf_counter(), busy_seconds(), _own(target)
        calls = []
        for number, time_planned in enumerate(planned.tolist()):
            await asyncio.sleep(max(0.0, began + time_planned - time.perf_counter()))
            calls.append(asyncio.create_task(_call(ask, pictures[number % len(pictures)])))
        times = np.array(await asyncio.gather(*calls))
        lasted = time.perf_counter() - began
        others = (busy_seconds() - busy - (_own(target) - own)) / lasted
    # As they really came: a busy machine calls late.
    came, left = times[:, 0] - times[0, 0], times[:, 1] - times[0, 0]
    outcome = simulate(Fleet(1, policy), calibration, Arrivals.at(came))
    return Checked(
        policy.copies,
        share,
        len(came),
        _milliseconds(np.percentile(left - came, (50, 95, 99))),
        _milliseconds(outcome.percentiles(50, 95, 99)),
        others,
    )


async def _call(ask: Ask, picture: Picture) -> tuple[float, float]:
    came = time.perf_counter()
    await ask(picture)
    return came, time.perf_counter()


def _own(target: Target) -> float:
    """Processor seconds of the server and of those who ask."""
    return processor_seconds(target.process) + sum(os.times()[:2])


def _milliseconds(seconds: Sequence[float]) -> tuple[float, float, float]:
    p50, p95, p99 = (1000 * float(each) for each in seconds)
    return p50, p95, p99
