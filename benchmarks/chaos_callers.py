"""Callers that ask at a rate or one after the other, and note what came when. Also a process of its own, for a flood.

    python benchmarks/chaos_callers.py HOST:PORT TOKEN RATE SECONDS

asks for explanations of a small tensor, as long as the default, by chance at that rate, and prints the answers as JSON.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import grpc
import numpy as np
from attacks import tensor

from medxgan.v1.explanation_pb2 import (
    MAP_KIND_DIFFERENCE,
    MAP_KIND_NEGATIVE_REALIZATION,
    ExplainRequest,
    ExplainSettings,
    Image,
    InversionSettings,
    MapRequest,
    ModelSelector,
)
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

STEPS = 10
DEADLINE = 120.0


@dataclass(frozen=True)
class Answer:
    """What came of one call.

    Attributes:
        code: name of its status.
        began: seconds, of `time.time()`.
        took: seconds until it came.
        said: the status's text.
    """

    code: str
    began: float
    took: float
    said: str = ""


Ask = Callable[[], Awaitable[Answer]]


def request(image: Image | None = None, steps: int | None = STEPS) -> ExplainRequest:
    """For two maps by a short inversion; None: one as long as the bundle's default."""
    return ExplainRequest(
        model=ModelSelector(name="phantom"),
        image=image or tensor(64),
        maps=[MapRequest(kind=MAP_KIND_NEGATIVE_REALIZATION), MapRequest(kind=MAP_KIND_DIFFERENCE)],
        settings=ExplainSettings(inversion=InversionSettings(steps=steps)),
    )


@asynccontextmanager
async def asking(
    address: str, token: str = "", image: Image | None = None, steps: int | None = STEPS, deadline: float = DEADLINE
) -> AsyncIterator[Ask]:
    """Gives what makes one call, without retries."""
    asked, headers = request(image, steps), [("authorization", f"Bearer {token}")] if token else []
    async with grpc.aio.insecure_channel(address) as channel:
        stub = ExplanationServiceStub(channel)

        async def ask() -> Answer:
            began, clock = time.time(), time.perf_counter()
            try:
                await stub.Explain(asked, metadata=headers, timeout=deadline)
            except grpc.aio.AioRpcError as error:
                return Answer(error.code().name, began, time.perf_counter() - clock, str(error.details()))
            return Answer("OK", began, time.perf_counter() - clock)

        yield ask


async def closed_loop(ask: Ask, callers: int, seconds: float) -> list[Answer]:
    """So many callers, each asking again as soon as it is answered."""
    answers: list[Answer] = []
    ends = time.perf_counter() + seconds

    async def call() -> None:
        while time.perf_counter() < ends:
            answers.append(await ask())

    await asyncio.gather(*(call() for _ in range(callers)))
    return answers


async def open_loop(ask: Ask, rate: float, seconds: float, seed: int = 0) -> list[Answer]:
    """Callers that come by chance, so many a second, whether or not those before were answered."""
    chance, began, calls = np.random.default_rng(seed), time.perf_counter(), []
    due = began
    while (due := due + chance.exponential(1 / rate)) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        calls.append(asyncio.create_task(ask()))
    return list(await asyncio.gather(*calls))


class Flood:
    """Runs this file as a process for as long as its context lasts; it ends by itself before.

    Attributes:
        answers: there once the context has ended.
    """

    def __init__(self, address: str, token: str, rate: float, seconds: float) -> None:
        self._command = [sys.executable, __file__, address, token, str(rate), str(seconds)]
        self.answers: list[Answer] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(*self._command, stdout=subprocess.PIPE, limit=2**26)
        await self._process.stdout.readline()  # it has begun
        return self

    async def __aexit__(self, *_: object) -> None:
        said, _ = await self._process.communicate()
        self.answers = [Answer(*fields) for fields in json.loads(said)]


def milliseconds(answers: Sequence[Answer], code: str = "OK") -> list[float]:
    """Of those with that status."""
    return sorted(1000 * each.took for each in answers if each.code == code)


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th; NaN where there is nothing."""
    if not values:
        return float("nan"), float("nan")
    return float(np.percentile(values, 50)), float(np.percentile(values, 99))


async def main(address: str, token: str, rate: float, seconds: float) -> None:
    """Flood, and say what came."""
    async with asking(address, token, steps=None) as ask:
        print("begun", flush=True)
        answers = await open_loop(ask, rate, seconds, seed=1)
    print(json.dumps([[each.code, each.began, each.took, each.said] for each in answers]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
