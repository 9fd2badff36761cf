"""A server under load by Triton's own perf_analyzer, beside the same load by our own client, and what the server tells.

    python benchmarks/load_by_perf_analyzer.py [BUNDLE]

One server; 1, 4 and 16 callers, each asking again as soon as it is answered for the default explanation of one drawn
film of 2048x2048 pixels, a PNG: by our client with `Explain`, as `load.py` asks, and by perf_analyzer with
`ModelStreamInfer` for as many requests as our client was last answered. It has no windows of time then, and what it
says of the server is of the requests that it sent, all of them and no others. Rounds follow each other, each in the
other order, since a shared machine is not as fast in one minute as in the next. Around every load the counters of
`/metrics` and `ModelStatistics` are read.

The program comes by `.ci/perf_analyzer`; `tritonclient[grpc]` is wanted too. Writes perf_analyzer-NAME.json and .md.
"""

import asyncio
import base64
import csv
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import grpc
import numpy as np
import typer
from load import WAITING, closed_loop
from load_targets import ROOT, Target
from measuring import conditions, machine, write_results
from PIL import Image as PillowImage
from serving import Server, served
from tritonclient.grpc import InferenceServerClient

from medxgan.server.open_inference.tensors import bytes_tensor
from medxgan.training.data.phantom import phantoms
from medxgan.v1.explanation_pb2 import ExplainRequest, Image, ModelSelector
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

CALLERS = (1, 4, 16)
SIDE = 2048
STREAMS = 64
"""That one caller may have: perf_analyzer opens more than the default."""
PARTS = ("queue", "compute_input", "compute_infer", "compute_output")
NEWEST = max((ROOT / "models" / "chest").iterdir(), key=lambda folder: int(folder.name))
OURS, THEIRS = "our client", "perf_analyzer"
COUNTERS, STATISTICS = "/metrics", "ModelStatistics"

Ask = Callable[[bytes], Awaitable[object]]


@dataclass(frozen=True)
class Told:
    """What the server is said to have done under one load.

    Attributes:
        by: who says so.
        requests: that it answered; 0 where it is not said.
        milliseconds: of a request on average, by part.
    """

    by: str
    requests: int
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class Load:
    """One load, as its caller saw it and as the server told of it.

    Attributes:
        turn: round.
        callers: at once.
        by: who made it.
        answered: requests.
        per_second: of them.
        p50: milliseconds until half were answered, as are the next.
        p95: 95 %.
        p99: 99 %.
        mean: milliseconds until an answer.
        told: of the server.
    """

    turn: int
    callers: int
    by: str
    answered: int
    per_second: float
    p50: float
    p95: float
    p99: float
    mean: float
    told: tuple[Told, ...]


def main(
    bundle: Annotated[
        Path, typer.Argument(help="Bundle folder, NAME/VERSION.", show_default="the shipped chest")
    ] = NEWEST,
    program: Annotated[Path | None, typer.Option(help="perf_analyzer, where it is not beside Python.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Of our client's loads.")] = 20.0,
    rounds: Annotated[int, typer.Option(min=1, help="Of all loads.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads within an operator.")] = os.cpu_count() or 1,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Put a server under load by perf_analyzer and by our client, in turn."""
    chosen = program or _beside_python()
    model, film = bundle.parent.name, _film()
    with tempfile.TemporaryDirectory() as folder:
        models, data = Path(folder) / "models", Path(folder) / "film.json"
        shutil.copytree(bundle, models / model / bundle.name)
        data.write_text(_input_data(film))
        limits = ["--threads", threads, "--maximum-waiting", WAITING, "--caller-share", 1]
        limits += ["--maximum-streams", STREAMS, "--maximum-streams-per-caller", STREAMS]
        with served(*limits, "--telemetry", "127.0.0.1:0", models=models) as server:
            measuring = _Measuring(server, model, chosen, data)
            loads = asyncio.run(measuring.loads(film, seconds, rounds))
    told = subprocess.run(
        [chosen, "--version"], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    report = {
        **conditions(threads, "onnxruntime", "grpcio", folders={chosen: "PERF_ANALYZER"}),
        "perf_analyzer": told.stdout.strip(),
        "bundle": f"{model}/{bundle.name}",
        "film_bytes": len(film),
        "seconds": seconds,
        "rounds": rounds,
        "loads": [asdict(each) for each in loads],
    }
    write_results(out, f"perf_analyzer-{model}", report, _page(report, loads))


def _beside_python() -> Path:
    places = (str(Path(sys.executable).parent), None)
    for place in places:
        if found := shutil.which("perf_analyzer", path=place):
            return Path(found)
    raise typer.BadParameter("expected perf_analyzer, got none; .ci/perf_analyzer gets it", param_hint="--program")


def _film() -> bytes:
    drawn = phantoms(1, SIDE, seed=1, positive_share=1).images[0]
    file = io.BytesIO()
    PillowImage.fromarray(np.asarray(drawn)).save(file, "PNG")
    return file.getvalue()


def _input_data(film: bytes) -> str:
    """The film in the form in which perf_analyzer reads what it sends."""
    content = base64.b64encode(bytes_tensor([film])).decode()
    return json.dumps({"data": [{"image": {"content": {"b64": content}, "shape": [1]}}]})


class _Measuring:
    """Makes loads and reads what the server tells of them.

    Args:
        server: under load.
        model: that is asked.
        program: perf_analyzer.
        data: file with what it sends.
    """

    def __init__(self, server: Server, model: str, program: Path, data: Path) -> None:
        self._server = server
        self._model = model
        self._program = program
        self._data = data

    async def loads(self, film: bytes, seconds: float, rounds: int) -> list[Load]:
        """All loads, in turn."""
        loads = []
        async with self._asking() as ask:
            await asyncio.gather(*(ask(film) for _ in range(max(CALLERS))))
            for turn in range(rounds):
                for callers in CALLERS:
                    for by in (OURS, THEIRS) if turn % 2 == 0 else (THEIRS, OURS):
                        if by == OURS:
                            loads.append(await self._own(turn, callers, ask, film, seconds))
                        else:
                            requests = _of(loads, callers, OURS)[-1].answered
                            loads.append(await asyncio.to_thread(self._analyzed, turn, callers, requests))
                        print(loads[-1], flush=True)
        return loads

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Ask]:
        options = [("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(self._server.address, options=options) as channel:
            stub = ExplanationServiceStub(channel)  # type: ignore[no-untyped-call]
            # No maps: the default ones, which are those of perf_analyzer's model.
            yield lambda film: stub.Explain(
                ExplainRequest(model=ModelSelector(name=self._model), image=Image(encoded=film))
            )

    async def _own(self, turn: int, callers: int, ask: Ask, film: bytes, seconds: float) -> Load:
        before = self._totals()
        target = Target(OURS, self._server.process.pid, self._asking)
        own = await closed_loop(target, ask, [film], callers, seconds)
        times = own.per_second, own.p50, own.p95, own.p99, own.mean
        return Load(turn, callers, OURS, own.answered, *times, told=self._told(before))

    def _analyzed(self, turn: int, callers: int, requests: int) -> Load:
        before = self._totals()
        file = self._data.with_name("report.csv")
        file.unlink(missing_ok=True)
        arguments = ["-m", self._model, "-u", self._server.address, "-i", "grpc", "--streaming", "--async"]
        arguments += ["--input-data", str(self._data), "-f", str(file)]
        arguments += ["--concurrency-range", str(callers), "--request-count", str(requests), "--verbose-csv"]
        done = subprocess.run([self._program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"perf_analyzer ended with status {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        (row,) = csv.DictReader(io.StringIO(file.read_text()))
        columns = dict(zip(PARTS, ("Queue", "Compute Input", "Compute Infer", "Compute Output"), strict=True))
        told = Told(THEIRS, 0, {part: float(row[f"Server {name}"]) / 1000 for part, name in columns.items()})
        times = (float(row[f"{name} latency"]) / 1000 for name in ("p50", "p95", "p99", "Avg"))
        return Load(
            turn, callers, THEIRS, requests, float(row["Inferences/Second"]), *times, told=(told, *self._told(before))
        )

    def _totals(self) -> dict[str, dict[str, float]]:
        """Requests and milliseconds since the server started, by who tells."""
        with InferenceServerClient(self._server.address) as client:
            (of_model,) = client.get_inference_statistics(self._model).model_stats
        labels = f'{{model="{self._model}",version="{of_model.version}"}}'
        figures = self._server.figures()
        return {
            COUNTERS: {
                "requests": figures[f"nv_inference_request_success{labels}"],
                **{part: figures[f"nv_inference_{part}_duration_us{labels}"] / 1e3 for part in PARTS},
            },
            STATISTICS: {
                "requests": of_model.inference_stats.success.count,
                **{part: getattr(of_model.inference_stats, part).ns / 1e6 for part in PARTS},
            },
        }

    def _told(self, before: dict[str, dict[str, float]]) -> tuple[Told, ...]:
        told = []
        for by, totals in self._totals().items():
            requests = totals["requests"] - before[by]["requests"]
            parts = {part: (totals[part] - before[by][part]) / requests for part in PARTS}
            told.append(Told(by, round(requests), parts))
        return tuple(told)


def _page(report: dict[str, Any], loads: Sequence[Load]) -> str:
    lines = [
        f"# Under load by perf_analyzer: {report['bundle']}",
        "",
        f"{machine(report)}; {report['perf_analyzer']}. {report['rounds']} rounds, medians; our client's loads of "
        f"{report['seconds']:g} seconds, perf_analyzer's of as many requests; a film of {report['film_bytes']:,} "
        "bytes.",
        "",
        f"    {report['command']}",
        "",
        "| callers | by | requests | explanations a second | p50, ms | p95, ms | p99, ms | mean, ms |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for callers in CALLERS:
        theirs, ours = (_medians(_of(loads, callers, by)) for by in (THEIRS, OURS))
        for by, row in ((THEIRS, theirs), (OURS, ours)):
            requests = sum(each.answered for each in _of(loads, callers, by))
            times = " | ".join(f"{value:.0f}" for value in row[1:])
            lines.append(f"| {callers} | {by} | {requests} | {row[0]:.2f} | {times} |")
        ratios = " | ".join(f"{own / other:.2f}" for own, other in zip(ours, theirs, strict=True))
        lines.append(f"| {callers} | ours over perf_analyzer's | | {ratios} |")
    lines += [
        "",
        "perf_analyzer looks once a second whether all were answered, and counts that second: its throughput is up to "
        "a second's share too low; its latencies are not concerned.",
        "",
        "What the server did, milliseconds of a request on average, and what is left of the callers' mean: the way "
        "there and back.",
        "",
        "| callers | load by | told by | requests | queue | compute input | compute infer | compute output | left |",
        "|---:|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for callers in CALLERS:
        for by in (THEIRS, OURS):
            chosen = _of(loads, callers, by)
            mean = np.average([load.mean for load in chosen], weights=[load.answered for load in chosen])
            for told in _told_in_all(chosen):
                parts = " | ".join(f"{told.milliseconds[part]:.2f}" for part in PARTS)
                left = mean - sum(told.milliseconds.values())
                lines.append(f"| {callers} | {by} | {told.by} | {told.requests or ''} | {parts} | {left:.2f} |")
    return "\n".join([*lines, "", _agreement(loads)]) + "\n"


def _of(loads: Sequence[Load], callers: int, by: str) -> list[Load]:
    return [each for each in loads if (each.callers, each.by) == (callers, by)]


def _medians(loads: Sequence[Load]) -> tuple[float, ...]:
    rows = [(each.per_second, each.p50, each.p95, each.p99, each.mean) for each in loads]
    return tuple(map(statistics.median, zip(*rows, strict=True)))


def _told_in_all(loads: Sequence[Load]) -> list[Told]:
    """Of all rounds: the means, by the requests of each."""
    found = []
    for each in zip(*(load.told for load in loads), strict=True):
        weights = [load.answered for load in loads]
        parts = {part: float(np.average([told.milliseconds[part] for told in each], weights=weights)) for part in PARTS}
        found.append(Told(each[0].by, sum(told.requests for told in each), parts))
    return found


def _agreement(loads: Sequence[Load]) -> str:
    """How far perf_analyzer and the counters are apart, in words."""
    theirs = [load for load in loads if load.by == THEIRS]
    apart = [
        abs(told.milliseconds[part] - load.told[0].milliseconds[part])
        for load in theirs
        for told in load.told[1:]
        for part in PARTS
    ]
    missed = sum(abs(told.requests - load.answered) for load in loads for told in load.told if told.by != THEIRS)
    return (
        f"In no load is a part of perf_analyzer's further than {1000 * max(apart):.1f} µs of a request from what the "
        "counters tell (it cuts off what is less than one); requests that the counters and the callers don't agree on: "
        f"{missed}."
    )


if __name__ == "__main__":
    typer.run(main)
