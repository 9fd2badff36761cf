"""Measures what the parts of an explanation take: on the engine itself, and of a real server what remains."""

import asyncio
import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

from load_targets import ROOT, Ask, Picture, Target, medxgan
from measuring import conditions, processor_seconds

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.server.engine.port import Engine, FloatArray
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.explanation.opening import reduction_of, run_open
from medxgan.server.explanation.scores import Score
from medxgan.server.images.film import Film
from medxgan.server.images.reduction import reduced
from medxgan.server.inversion.block import AdvancingRows, Change
from medxgan.server.inversion.settings import resolve_inversion_settings
from medxgan.server.inversion.solver import Row, Solver, Start
from medxgan.server.inversion.starts import learning_rates, starting_codes
from medxgan.server.models.replica import LONGEST_BLOCK
from medxgan.v1 import bundle_pb2, explanation_pb2
from simulation.calibration import Calibration

ROWS = (1, 2, 4, 8, 16)
AT_ONCE = (1, 2, 3, 4)
"""Copies that are at work at once, where it is measured how they slow one another down."""

ROWS_AT_ONCE = 4
SECONDS_AT_ONCE = 1.0
ANSWERS = 10
"""Of the server in each round."""

NOISE = 0.05
"""Share of an explanation by which its parts may be longer than the whole; what lies beside them is 0 then."""


def calibrate(folder: Path, pictures: list[Picture], rounds: int) -> Calibration:
    """Measure a bundle on this machine's CPU, each copy with one thread.

    The times are those of the processor, of the thread or the server that worked: what others run on the machine
    meanwhile adds little to them. Every round measures all of it, and the medians are taken.

    Args:
        folder: of the bundle, NAME/VERSION.
        pictures: uint8 [H, W], at least one.
        rounds: >= 1.

    Raises:
        RuntimeError: an explanation takes the server less than the engine by itself: the machine was too unsteady.
    """
    bundle = load_bundle(folder)
    began = time.perf_counter()
    with medxgan("medxgan", folder, ROOT, 1, 64) as target:
        start = time.perf_counter() - began
        return asyncio.run(_calibrate(target, start, bundle, pictures, rounds))


async def _calibrate(
    target: Target, start: float, bundle: LoadedBundle, pictures: list[Picture], rounds: int
) -> Calibration:
    copies = [_Copy(bundle, pictures[0]) for _ in AT_ONCE]
    copy = copies[0]
    opens, closes, answers = [], [], []
    blocks: dict[tuple[int, int], list[float]] = {(rows, steps): [] for rows in ROWS for steps in (1, LONGEST_BLOCK)}
    at_once: dict[int, list[float]] = {number: [] for number in AT_ONCE}
    async with target.connect() as ask:
        await _answer(target, ask, pictures)  # what is done for the first time
        for _ in range(rounds):
            answers.append(await _answer(target, ask, pictures))
            opens.append(_timed(copy.open))
            closes.append(_timed(copy.close))
            for (rows, steps), times in blocks.items():
                times.append(_timed(lambda rows=rows, steps=steps: copy.block(rows, steps)))
            for number, times in at_once.items():
                times.append(_at_once(copies[:number]))
    long = [statistics.median(blocks[rows, LONGEST_BLOCK]) for rows in ROWS]
    short = [statistics.median(blocks[rows, 1]) for rows in ROWS]
    step = [(whole - one) / (LONGEST_BLOCK - 1) for one, whole in zip(short, long, strict=True)]
    inversion = bundle.description.inversion
    engine_alone = Calibration(
        model=f"{bundle.description.name}/{bundle.description.version}",
        conditions={**conditions(1, "onnxruntime", "numpy", "grpcio"), "rounds": rounds},
        steps=inversion.default_steps,
        check_interval=inversion.check_interval,
        longest_block=LONGEST_BLOCK,
        open=statistics.median(opens),
        close=statistics.median(closes),
        host=0.0,
        start=start,
        rows=ROWS,
        # The difference of two medians: where a block costs nothing beside its steps, noise may take it below 0.
        block=tuple(max(0.0, one - each) for one, each in zip(short, step, strict=True)),
        step=tuple(step),
        slowdown=_slowdown(at_once),
    )
    host = statistics.median(answers) - engine_alone.alone
    if host < -NOISE * engine_alone.alone:
        raise RuntimeError(f"an answer took {-host:.3f} s less than its parts: measure on a steadier machine")
    return engine_alone.model_copy(update={"host": max(0.0, host)})


class _Copy:
    """An engine of its own with one thread, and a film for it."""

    def __init__(self, bundle: LoadedBundle, picture: Picture) -> None:
        self._bundle = bundle.description
        self._engine: Engine = open_engine(bundle, EngineSettings(provider="cpu", threads=1))
        self._engine.warm_up()
        reduction = reduction_of(self._bundle, self._engine)
        film = Film(picture)
        self._film = film if reduction is None else reduced(film, reduction)
        opened = run_open(self._engine, self._film)
        self._x: FloatArray = opened["x"]
        settings = resolve_inversion_settings(explanation_pb2.InversionSettings(), self._bundle)
        rates = learning_rates(self._bundle, settings.learning_rate, guessed="z" in opened)
        (z,) = starting_codes(opened.get("z"), self._bundle.latent, rates, 1, 0)
        target = Score.of(float(opened["logit"][0]), self._bundle.classification.decision_threshold).probability
        # As long as the longest block that is timed, which ends with the row.
        row = Row(max(settings.steps, LONGEST_BLOCK), settings.reconstruction_weight)
        self._start: Start = Solver(self._bundle.inversion).init(row, z, self._x, target, rates, settings.solver)

    def open(self) -> None:
        run_open(self._engine, self._film)

    def block(self, rows: int, steps: int) -> None:
        """A block of rows that have all just joined: that the batch is put together is a part of it."""
        row, state = self._start
        advancing = AdvancingRows(Solver(self._bundle.inversion, steps), self._engine)
        advancing.advance(Change([], {}, [state] * rows), [row] * rows)

    def close(self) -> None:
        self._engine.run(bundle_pb2.GRAPH_ROLE_CLOSE, {"x": self._x, "z": self._start[1].z})


def _timed(work: Callable[[], None]) -> float:
    """Processor time of this thread: with one thread an engine computes on the one that calls it."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


async def _answer(target: Target, ask: Ask, pictures: list[Picture]) -> float:
    """Processor time of the server for an explanation; of several, since the system counts it in hundredths."""
    began = processor_seconds(target.process)
    for picture in pictures[:ANSWERS]:
        await ask(picture)
    return (processor_seconds(target.process) - began) / len(pictures[:ANSWERS])


def _at_once(copies: list[_Copy]) -> float:
    """Processor time of a block while so many copies are at work, each on a thread of its own as in a server."""
    ends = time.perf_counter() + SECONDS_AT_ONCE
    times: list[float] = []

    def work(copy: _Copy) -> None:
        while time.perf_counter() < ends:
            times.append(_timed(lambda: copy.block(ROWS_AT_ONCE, LONGEST_BLOCK)))

    threads = [threading.Thread(target=work, args=(copy,)) for copy in copies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statistics.fmean(times)


def _slowdown(at_once: dict[int, list[float]]) -> tuple[float, ...]:
    """More processor time for the same work, and beyond the number of cores an equal share of them for each."""
    cores = os.cpu_count() or 1
    alone = statistics.median(at_once[1])
    return tuple(statistics.median(times) / alone * max(1.0, number / cores) for number, times in at_once.items())
