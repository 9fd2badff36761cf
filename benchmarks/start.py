"""How soon a server is ready, and what it holds then: by the number of its bundles, with Triton beside it.

    python benchmarks/start.py models [--triton PYTHON] [--repeats 5]

A server is ready when it calls itself so. Its processor time is that of all its threads and processes until then, which
a busy machine disturbs less than the time on the wall. Memory is resident: what it has of its own, and files that it
has mapped (libraries, and weights where they are not copied). What decodes files is a process of its own, told apart.
Triton serves one bundle, by a model in Python that has three of its graphs: `load_triton_model.py`.
Writes start.json and .md.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from load_targets import ROOT, medxgan_command, started, triton
from measuring import conditions, machine, write_results


@dataclass(frozen=True)
class Start:
    """One start.

    Attributes:
        seconds: until it is ready.
        processor_seconds: of all threads and processes until then.
        own_megabytes: of memory that no file holds.
        mapped_megabytes: of files, libraries above all.
        threads: of its process.
        other_megabytes: of its other processes, what they share counted by halves (PSS).
        has_torch: whether PyTorch is loaded.
    """

    seconds: float
    processor_seconds: float
    own_megabytes: float
    mapped_megabytes: float
    threads: int
    other_megabytes: float
    has_torch: bool


def main(
    models: Annotated[Path, typer.Argument(help="Folder of bundles, NAME/VERSION/.")] = ROOT / "models",
    python: Annotated[
        Path | None, typer.Option("--triton", help="Python of an environment with nvidia-pytriton and onnxruntime.")
    ] = None,
    rooms: Annotated[Path, typer.Option(help="Checkout whose server is started.")] = ROOT,
    threads: Annotated[int, typer.Option(min=1, help="Threads within an operator.")] = os.cpu_count() or 1,
    repeats: Annotated[int, typer.Option(min=1, help="Starts of each, in turn.")] = 5,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Measure starts."""
    bundles = sorted(file.parent for file in models.glob("*/*/bundle.json"))
    servers: dict[str, Callable[[], AbstractContextManager[int]]] = {
        f"medxgan, {count} bundle{'s' if count > 1 else ''}": partial(_medxgan, bundles[:count], rooms, threads)
        for count in range(1, len(bundles) + 1)
    }
    if python is not None:
        servers["Triton, 1 bundle"] = partial(_triton, python, bundles[0], threads)
    starts: dict[str, list[Start]] = {name: [] for name in servers}
    for _ in range(repeats):
        for name, server in servers.items():
            starts[name].append(_measured(server))
    medians = {name: _median(each) for name, each in starts.items()}
    report = {
        **conditions(threads, "grpcio", "onnxruntime", folders={models.parent: "FOLDER"}),
        "bundles": [f"{folder.parent.name}/{folder.name}" for folder in bundles],
        "medians": {name: asdict(median) for name, median in medians.items()},
        "starts": {name: [asdict(start) for start in each] for name, each in starts.items()},
    }
    write_results(out, "start", report, _page(report, medians))


@contextmanager
def _medxgan(bundles: list[Path], rooms: Path, threads: int) -> Iterator[int]:
    with tempfile.TemporaryDirectory() as models:
        for bundle in bundles:
            shutil.copytree(bundle, Path(models) / bundle.parent.name / bundle.name)
        command, environment = medxgan_command(rooms, Path(models), threads)
        with started(command, environment, '"serving"') as (process, _):
            yield process


@contextmanager
def _triton(python: Path, bundle: Path, threads: int) -> Iterator[int]:
    with triton(python, bundle, threads) as target:
        yield target.process


def _measured(server: Callable[[], AbstractContextManager[int]]) -> Start:
    began = time.perf_counter()
    with server() as process:
        seconds = time.perf_counter() - began
        others = _descendants(process)
        status = _kilobytes(f"/proc/{process}/status")
        maps = Path(f"/proc/{process}/maps").read_text()
        return Start(
            seconds=seconds,
            processor_seconds=sum(map(_processor_seconds, [process, *others])),
            own_megabytes=(status["RssAnon"] + status["RssShmem"]) / 1024,
            mapped_megabytes=status["RssFile"] / 1024,
            threads=len(list(Path(f"/proc/{process}/task").iterdir())),
            other_megabytes=sum(_kilobytes(f"/proc/{each}/smaps_rollup")["Pss"] for each in others) / 1024,
            has_torch="libtorch" in maps,
        )


def _descendants(process: int) -> list[int]:
    children = [
        int(child) for file in Path(f"/proc/{process}/task").glob("*/children") for child in file.read_text().split()
    ]
    return children + [each for child in children for each in _descendants(child)]


def _processor_seconds(process: int) -> float:
    """In user and system mode, with those children that have ended."""
    times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def _kilobytes(file: str) -> dict[str, int]:
    lines = (line.split() for line in Path(file).read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) == 3 and words[2] == "kB"}


def _median(starts: list[Start]) -> Start:
    each = [asdict(start) for start in starts]
    values = {field.name: statistics.median(one[field.name] for one in each) for field in fields(Start)}
    return Start(**values | {"threads": round(values["threads"]), "has_torch": any(one["has_torch"] for one in each)})


def _page(report: Mapping[str, object], medians: Mapping[str, Start]) -> str:
    lines = [
        "# How soon a server is ready, and what it holds",
        "",
        f"{machine(report)}. Medians.",
        "",
        f"    {report['command']}",
        "",
        "| | ready, s | processor time, s | own memory, MB | mapped files, MB | threads | decoders, MB | torch |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    lines += [
        f"| {name} | {each.seconds:.2f} | {each.processor_seconds:.2f} | {each.own_megabytes:.0f} | "
        f"{each.mapped_megabytes:.0f} | {each.threads} | {each.other_megabytes:.0f} | "
        f"{'yes' if each.has_torch else 'no'} |"
        for name, each in medians.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
