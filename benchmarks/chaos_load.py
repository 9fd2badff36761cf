"""A server under more load than it can answer, under load for long, and one that ends or is killed under load."""

import asyncio
import hashlib
import io
import secrets
import signal
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from bystander import Bystander
from chaos_callers import Answer, Flood, asking, closed_loop, milliseconds, open_loop, percentiles
from chaos_page import Finding
from PIL import Image as PillowImage
from serving import ROOT, MemoryWatch, served

from medxgan.client import Client, MedxganClientError
from medxgan.v1.explanation_pb2 import Image

BATCH = 8

WITHOUT_LONG_WAITS = f"--maximum-waiting {BATCH} --caller-share 0.5 --threads 1"
"""A batch may wait beside the one that advances, half of both may be one caller's, and what comes and is refused is
another core's."""

OVERLOAD = 10
WARD_SHARE = 0.25
SOAK_SHARE = 0.7
RECOVERING_CALLS = 24
AWAY_SECONDS = 2.0


@contextmanager
def _identities(*names: str) -> Iterator[tuple[Path, list[str]]]:
    """A file of identities, and a token of each."""
    tokens = [secrets.token_hex(32) for _ in names]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "identities.toml"
        tables = [
            f'[identities.{name}]\nroles = ["explain"]\ntokens = ["{hashlib.sha256(token.encode()).hexdigest()}"]'
            for name, token in zip(names, tokens, strict=True)
        ]
        file.write_text("\n".join(tables), encoding="utf-8")
        yield file, tokens


def overload(seconds: float) -> list[Finding]:
    """Ten times of what it can do, by a server as it comes and by one that lets nobody wait long."""
    return [*asyncio.run(_overload(seconds, "")), *asyncio.run(_overload(seconds, WITHOUT_LONG_WAITS))]


async def _overload(seconds: float, options: str) -> list[Finding]:
    with (
        _identities("ward", "flood") as (file, (ward, flood)),
        served("--identities", file, *options.split()) as server,
    ):
        async with asking(server.address, ward, steps=None) as ask:
            await closed_loop(ask, BATCH, 2)
            full = await closed_loop(ask, BATCH, seconds / 2)
            capacity = len(full) / (seconds / 2)
            quiet = await open_loop(ask, WARD_SHARE * capacity, seconds / 2)
            before = server.memory_megabytes().server
            with MemoryWatch(server, 0.5) as memory:
                async with Flood(server.address, flood, OVERLOAD * capacity, seconds) as flooding:
                    during = await open_loop(ask, WARD_SHARE * capacity, seconds)
            afterwards = await open_loop(ask, WARD_SHARE * capacity, seconds / 2)
            after = server.memory_megabytes().server
        at_most = await _refusals(server.address, flood)
    admitted, refused = milliseconds(flooding.answers), milliseconds(flooding.answers, "RESOURCE_EXHAUSTED")
    others = Counter(each.code for each in (*flooding.answers, *during)) - Counter(OK=10**9, RESOURCE_EXHAUSTED=10**9)
    texts = {each.said for each in (*flooding.answers, *during) if each.code in others}
    (_, full99), (quiet50, quiet99) = percentiles(milliseconds(full)), percentiles(milliseconds(quiet))
    (ward50, ward99), (_, admitted99) = percentiles(milliseconds(during)), percentiles(admitted)
    (refused50, refused99), (after50, after99) = percentiles(refused), percentiles(milliseconds(afterwards))
    answered = f"{len(milliseconds(during))} of {len(during)}"
    name = f"{OVERLOAD}x overload, {options or 'as it comes'}"
    return [
        Finding(
            name,
            "load",
            f"capacity {capacity:.1f}/s (8 callers: p99 {full99:.0f} ms); {len(flooding.answers)} calls of one caller "
            f"in {seconds:g} s: {len(admitted)} answered, {len(refused)} refused, {sum(others.values())} else",
        ),
        Finding(
            name,
            f"another caller at {WARD_SHARE:.0%} of capacity: all answered, p99 within 2x of a full batch",
            f"{answered}, p50 {ward50:.0f}, p99 {ward99:.0f} ms = {ward99 / full99:.1f}x "
            f"(alone at that rate p50 {quiet50:.0f}, p99 {quiet99:.0f})",
            len(milliseconds(during)) == len(during) and ward99 <= 2 * full99,
        ),
        Finding(
            name,
            "the flood's own admitted: p99 within 2x of a full batch",
            f"{admitted99:.0f} ms = {admitted99 / full99:.1f}x",
            admitted99 <= 2 * full99,
        ),
        Finding(
            name,
            "refused within 50 ms",
            f"p50 {refused50:.1f}, p99 {refused99:.0f} ms; {at_most:.0f} a second at most, 32 callers asking",
            refused99 <= 50,
        ),
        Finding(
            name,
            "memory flat: less than 64 MB more",
            f"{before:.0f} MB before, {memory.alone:.0f} at most, {after:.0f} after",
            memory.alone - before < 64,
        ),
        Finding(
            name,
            "recovery at once: the caller's p50 as before",
            f"p50 {after50:.0f}, p99 {after99:.0f} ms in the {seconds / 2:g} s after it",
            after50 <= 1.5 * quiet50,
        ),
        Finding(name, "no other status", f"{dict(others) or 'none'} {' '.join(sorted(texts))}".strip(), not others),
    ]


async def _refusals(address: str, token: str) -> float:
    """Refusals a second that a server gives at most, to a caller who has all that one caller may have."""
    async with asking(address, token, steps=2000) as long, asking(address, token) as ask:
        holding = [asyncio.create_task(long()) for _ in range(2)]
        await asyncio.sleep(1)
        answers = await closed_loop(ask, 32, 3)
        for each in holding:
            each.cancel()
        await asyncio.gather(*holding, return_exceptions=True)
    return len(milliseconds(answers, "RESOURCE_EXHAUSTED")) / 3


def soak(seconds: float) -> list[Finding]:
    """At a load that it can answer, of tensors and files; some callers leave early."""
    return asyncio.run(_soak(seconds))


async def _soak(seconds: float) -> list[Finding]:
    name, samples = f"soak at {SOAK_SHARE:.0%}", list[tuple[float, float, int]]()
    with served() as server:
        async with asking(server.address) as tensors, asking(server.address, image=_png()) as files:
            turn = 0

            async def ask() -> Answer:
                nonlocal turn
                turn += 1
                if turn % 20 == 0:  # who leaves
                    call = asyncio.create_task(tensors())
                    await asyncio.sleep(0.05)
                    call.cancel()
                    return Answer("LEFT", time.time(), 0.05)
                return await (files() if turn % 4 == 0 else tensors())

            full = await closed_loop(tensors, BATCH, max(5.0, seconds / 10))
            capacity = len(full) / max(5.0, seconds / 10)

            async def sample() -> None:
                while True:
                    memory = await asyncio.to_thread(server.memory_megabytes)
                    samples.append((memory.server, memory.workers, server.descriptors()))
                    await asyncio.sleep(1)

            await open_loop(ask, SOAK_SHARE * capacity, max(5.0, seconds / 10))
            sampling = asyncio.create_task(sample())
            answers = await open_loop(ask, SOAK_SHARE * capacity, seconds)
            sampling.cancel()
    quarter = max(1, len(samples) // 4)
    first, last = (np.mean(part, axis=0) for part in (samples[:quarter], samples[-quarter:]))
    codes = Counter(each.code for each in answers)
    p50, p99 = percentiles(milliseconds(answers))
    return [
        Finding(
            name,
            "all answered",
            f"{len(answers)} calls in {seconds:g} s at {SOAK_SHARE * capacity:.1f}/s: {dict(codes)}; "
            f"p50 {p50:.0f}, p99 {p99:.0f} ms",
            set(codes) <= {"OK", "LEFT"},
        ),
        Finding(
            name,
            "memory flat: last quarter less than 5 % above the first",
            f"server {first[0]:.0f} → {last[0]:.0f} MB, decoders {first[1]:.0f} → {last[1]:.0f} MB",
            bool(last[0] < 1.05 * first[0]),
        ),
        Finding(
            name,
            "descriptors flat: within 4",
            f"{first[2]:.1f} → {last[2]:.1f}, at most {max(each[2] for each in samples)}",
            bool(abs(last[2] - first[2]) <= 4),
        ),
    ]


def _png() -> Image:
    file = io.BytesIO()
    levels = np.random.default_rng(0).integers(0, 256, (512, 512), np.uint8)
    PillowImage.fromarray(levels).save(file, "PNG")
    return Image(encoded=file.getvalue())


def ending(seconds: float) -> list[Finding]:
    """SIGTERM under load: what was accepted is answered, and the rest refused in words."""
    return asyncio.run(_ending(min(seconds, 5.0)))


async def _ending(seconds: float) -> list[Finding]:
    with served("--shutdown-grace-seconds", 60) as server:
        async with asking(server.address, steps=50) as ask:
            calling = asyncio.create_task(closed_loop(ask, 2 * BATCH, seconds))
            await asyncio.sleep(seconds / 2)
            server.end(signal.SIGTERM)
            told = time.time()
            answers = await calling
            status = await asyncio.to_thread(server.process.wait, 120)
            gone = time.time() - told
    under_way = [each for each in answers if each.began < told < each.began + each.took]
    finished = [each for each in under_way if each.code == "OK"]
    refused = [each for each in answers if each.said == "the server is stopping"]
    lost = [each for each in under_way if each.code != "OK" and each not in refused]
    later = Counter(each.code for each in answers if each.began >= told)
    return [
        Finding(
            "SIGTERM under load",
            "nothing accepted is lost",
            f"{len(under_way)} calls under way: {len(finished)} answered, "
            f"{sum(each in refused for each in under_way)} refused as stopping, {len(lost)} lost; exit status {status} "
            f"after {gone:.1f} s",
            not lost and status == 0,
        ),
        Finding(
            "SIGTERM under load",
            "later calls hear that they may be made again (UNAVAILABLE, or CANCELLED by gRPC's last moments)",
            f"{dict(later)}",
            set(later) <= {"UNAVAILABLE", "CANCELLED"},
        ),
    ]


def killing(seconds: float) -> list[Finding]:  # noqa: ARG001 - a restart takes what it takes
    """SIGKILL under load, and a server on the same port a while later: clients come through by their own retries."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outcomes: Counter[str] = Counter()
    film = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)

    def call() -> None:
        with Client(f"127.0.0.1:{port}") as client:
            try:
                client.explain(film, model="phantom")
            except MedxganClientError as error:
                outcomes[type(error).__name__] += 1
            else:
                outcomes["answered"] += 1

    with ExitStack() as stack:
        # The time that a server is away for grows with its models: here it has one.
        models = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (models / "phantom").symlink_to(ROOT / "models" / "phantom")
        first = stack.enter_context(served(port=port, models=models))
        with ThreadPoolExecutor(RECOVERING_CALLS) as callers:
            calls = [callers.submit(call) for _ in range(RECOVERING_CALLS)]
            time.sleep(1.0)
            first.end(signal.SIGKILL)
            first.process.wait()
            began = time.perf_counter()
            time.sleep(AWAY_SECONDS)
            stack.enter_context(served(port=port, models=models))
            back = time.perf_counter() - began
            for each in calls:
                each.result()
            done = time.perf_counter() - began
    return [
        Finding(
            "SIGKILL and restart",
            "clients come through by their own retries",
            f"{RECOVERING_CALLS} calls under way; away for {back:.1f} s; {dict(outcomes)}, the last {done:.1f} s after "
            "the kill",
            outcomes["answered"] == RECOVERING_CALLS,
        )
    ]


def storm(seconds: float) -> list[Finding]:
    """Calls whose deadline passes before they can be answered, all the time."""
    with served("--telemetry", "127.0.0.1:0") as server:
        with Bystander(server.address) as alone:
            time.sleep(min(3.0, seconds))
        with Bystander(server.address) as bystander:
            answers = asyncio.run(_storm(server.address, seconds))
        began = time.perf_counter()
        while server.work_inside() > 0 and time.perf_counter() - began < 60:
            time.sleep(0.02)
        empty = time.perf_counter() - began
    codes = Counter(each.code for each in answers)
    (before50, before99), (during50, during99) = percentiles(alone.milliseconds), percentiles(bystander.milliseconds)
    return [
        Finding(
            "deadline storm",
            "no work stays behind",
            f"{len(answers)} calls with 1 to 50 ms in {seconds:g} s: {dict(codes)}; nothing inside {empty:.2f} s later",
            empty < 2,
        ),
        Finding(
            "deadline storm",
            "a bystander is answered",
            f"{len(bystander.milliseconds)} answers, p50 {during50:.0f}, p99 {during99:.0f} ms "
            f"(before p50 {before50:.0f}, p99 {before99:.0f})",
            bool(bystander.milliseconds),
        ),
    ]


async def _storm(address: str, seconds: float) -> list[Answer]:
    answers: list[Answer] = []
    async with (
        asking(address, deadline=0.001) as a,
        asking(address, deadline=0.02) as b,
        asking(address, deadline=0.05, steps=2000) as c,
    ):
        loops = [open_loop(ask, 60, seconds, seed) for seed, ask in enumerate((a, b, c))]
        for part in await asyncio.gather(*loops):
            answers += part
    return answers
