"""How many films a second a cohort run explains, by one worker and by two, in this process and on Ray.

    python benchmarks/cohort.py

Drawn slices, explained by `medxgan cohort`, each configuration as a command of its own. A worker has a processor core:
one worker is confined to one, two to two, with all that belongs to the run (server, decoders, Ray). The rate is that
between the first part that is done and the last, so that loading and the report don't count. Memory is that of all
processes of the run, shared pages counted for each, at a quarter of the run and at its end. Writes
cohort-NAME.json and .md.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from measuring import conditions, machine, write_results
from PIL import Image

from medxgan.training.data.phantom import phantoms

MEDXGAN = [sys.executable, "-c", "import sys; sys.argv[0] = 'medxgan'; from medxgan.client.command import main; main()"]
CHUNK = 1000
QUARTER, END = (0.2, 0.3), (0.8, 1.0)
"""Shares of the run that memory is taken in, as the median."""


@dataclass(frozen=True)
class Figures:
    """One configuration.

    Attributes:
        engine: "process" or "ray".
        workers: with as many cores.
        films: explained.
        errors: films with an error for an explanation.
        films_per_second: between the first part and the last.
        seconds: of the command in all.
        megabytes_at_quarter: of all its processes.
        megabytes_at_end: the same.
        row_bytes: of Parquet, for a film.
        map_bytes: of Zarr, for a film.
    """

    engine: str
    workers: int
    films: int
    errors: int
    films_per_second: float
    seconds: float
    megabytes_at_quarter: float
    megabytes_at_end: float
    row_bytes: float
    map_bytes: float


def main(
    films: Annotated[int, typer.Option(min=8, help="Drawn films.")] = 10_000,
    workers: Annotated[list[int] | None, typer.Option(help="Numbers of workers; 1 and 2 if left out.")] = None,
    engine: Annotated[list[str] | None, typer.Option(help="process, ray; both if left out.")] = None,
    model: Annotated[str, typer.Option(help="Bundle of the folder.")] = "brain-lgg",
    models: Annotated[Path, typer.Option(help="Folder of bundles.")] = Path(__file__).parents[1] / "models",
    part_films: Annotated[int, typer.Option(min=1, help="Films of a part.")] = 128,
    side: Annotated[int, typer.Option(min=32, help="Pixels along a side of a film.")] = 256,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Measure what a cohort run does in a second, and what memory it takes."""
    if films < 8 * part_films:
        raise typer.BadParameter(f"expected 8 parts or more: {8 * part_films}", param_hint="--films")
    measured = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _draw(folder / "films", films, side)
        for each in engine or ["process", "ray"]:
            for number in workers or [1, 2]:
                options = ["--model", model, "--models", str(models), "--part-films", str(part_films)]
                measured.append(_measure(folder, each, number, films, options))
                print(measured[-1], flush=True)
    report = {
        **conditions(1, "onnxruntime", "pyarrow", "zarr", "ray", folders={models: "models"}),
        "model": model,
        "side": side,
        "part_films": part_films,
        "results": [asdict(each) for each in measured],
    }
    write_results(out, f"cohort-{model}", report, _page(report, measured))


def _draw(folder: Path, films: int, side: int) -> None:
    folder.mkdir()
    for start in range(0, films, CHUNK):
        for number, image in enumerate(phantoms(min(CHUNK, films - start), size=side, seed=start).images):
            Image.fromarray(np.asarray(image).squeeze()).save(folder / f"{start + number:07}.png", compress_level=1)


def _measure(folder: Path, engine: str, workers: int, films: int, options: Sequence[str]) -> Figures:
    run = folder / f"{engine}-{workers}"
    command = [*MEDXGAN, "cohort", str(folder / "films"), "--out", str(run), "--workers", str(workers), *options]
    if engine == "ray":
        command += ["--ray", "local"]
    cores = sorted(os.sched_getaffinity(0))[:workers]
    if len(cores) < workers:
        raise typer.BadParameter(f"expected no more than there are cores, {len(cores)}", param_hint="--workers")
    began = time.perf_counter()
    samples: list[tuple[int, float]] = []
    with subprocess.Popen(
        ["taskset", "--cpu-list", ",".join(map(str, cores)), *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None:
            samples.append((len(list((run / "rows").glob("*.parquet"))), _megabytes(process.pid)))
            time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"the run ended with {process.returncode}")
    seconds = time.perf_counter() - began
    rows, errors, rate = _done(run)
    if rows != films:
        raise SystemExit(f"expected {films} rows, found {rows}")
    parts = len(list((run / "rows").glob("*.parquet")))
    memory = _during(samples, QUARTER, parts), _during(samples, END, parts)
    stored = _bytes(run / "rows") / films, _bytes(run / "maps.zarr") / films
    return Figures(engine, workers, films, errors, rate, seconds, *memory, *stored)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _done(run: Path) -> tuple[int, int, float]:
    """Rows, those with an error, and films a second between the first part that is done and the last."""
    import pyarrow.parquet as pq

    files = sorted((run / "rows").glob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
    counts, errors = [], 0
    for file in files:
        column = pq.read_table(file, columns=["error_code"])["error_code"]
        counts.append(len(column))
        errors += len(column) - column.null_count
    seconds = (files[-1].stat().st_mtime_ns - files[0].stat().st_mtime_ns) / 1e9
    return sum(counts), errors, sum(counts[1:]) / seconds


def _during(samples: Sequence[tuple[int, float]], stretch: tuple[float, float], parts: int) -> float:
    low, high = stretch
    # Of the end too only while films are explained.
    chosen = [megabytes for done, megabytes in samples if low <= done / parts < high]
    return statistics.median(chosen) if chosen else float("nan")


def _megabytes(root: int) -> float:
    """Resident memory of a process and of all that come from it."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue  # it has ended meanwhile
        parents.setdefault(parent, []).append(int(folder.name))
    total, waiting = 0.0, [root]
    while waiting:
        process = waiting.pop()
        waiting += parents.get(process, [])
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)
    return total


def _page(report: Mapping[str, object], measured: Sequence[Figures]) -> str:
    one = {each.engine: each.films_per_second for each in measured if each.workers == 1}
    lines = [
        "# Cohort runs",
        "",
        f"{report['model']}, default steps, drawn films of {report['side']}x{report['side']} pixels, each film by "
        f"itself (`--batch 1`); a core for each worker. {machine(report)}.",
        "",
        f"    {report['command']}",
        "",
        "| engine | workers | films | errors | films/s | efficiency | seconds in all | MB at a quarter | at the end "
        "| bytes a film: rows | maps |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for each in measured:
        ratio = each.films_per_second / one[each.engine] / each.workers if each.engine in one else float("nan")
        lines.append(
            f"| {each.engine} | {each.workers} | {each.films} | {each.errors} | {each.films_per_second:.2f} "
            f"| {ratio:.2f} | {each.seconds:.0f} | {each.megabytes_at_quarter:.0f} | {each.megabytes_at_end:.0f} "
            f"| {each.row_bytes:.0f} | {each.map_bytes:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
