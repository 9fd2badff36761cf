"""`medxgan cohort`, and what a run of it leaves."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from medxgan.client.command.app import app
from medxgan.cohort.columns import TIMES

ROOT = Path(__file__).parents[2]

QUICK = ("--model", "phantom", "--steps", "2", "--part-films", "4")
"""Options of the tests' runs."""


def cohort(source: object, out: Path, *options: object) -> Result:
    """The command, in this process."""
    arguments = ["cohort", str(source), "--out", str(out), *map(str, (*QUICK, *options))]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def succeed(source: object, out: Path, *options: object) -> Path:
    """The command, which is to succeed; gives the run's folder."""
    result = cohort(source, out, *options)
    assert result.exit_code == 0, result.output
    return out


def started(source: object, out: Path, *options: object) -> "subprocess.Popen[str]":
    """The command as a process of its own, with all that it says in one pipe."""
    call = "import sys; sys.argv[0] = 'medxgan'; from medxgan.client.command import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", call, *map(str, ("cohort", source, "--out", out, *QUICK, *options))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def table_of(run: Path) -> pa.Table:
    """The rows of a run, in order."""
    return pa.concat_tables([pq.read_table(file) for file in sorted((run / "rows").glob("*.parquet"))])


def rows_of(run: Path) -> list[dict[str, Any]]:
    """The same as dictionaries."""
    rows: list[dict[str, Any]] = table_of(run).to_pylist()
    return rows


def maps_of(run: Path) -> dict[str, NDArray[np.float32]]:
    """The maps of a run, by name."""
    return {name: array[:] for name, array in zarr.open_group(run / "maps.zarr", mode="r").arrays()}


def assert_same(run: Path, other: Path) -> None:
    """The same to the bit, but for times."""
    assert table_of(run).drop_columns(list(TIMES)).equals(table_of(other).drop_columns(list(TIMES)))
    files = ({path.relative_to(each): path.read_bytes() for path in files_of(each)} for each in (run, other))
    assert next(files) == next(files)


def files_of(run: Path) -> list[Path]:
    """The files of the maps."""
    return sorted(path for path in (run / "maps.zarr").rglob("*") if path.is_file())
