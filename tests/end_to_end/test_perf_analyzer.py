"""Triton's own load generator, unmodified, against a real server."""

import base64
import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from medxgan.server.embedded import EmbeddedServer
from medxgan.server.open_inference.tensors import bytes_tensor

CLIENTS = 2


def command() -> str:
    """The program: of its package, beside the interpreter, where `.ci/perf_analyzer` puts it, or on the path."""
    package = find_spec("perf_analyzer")
    inside = Path(package.origin).parent / "bin" if package and package.origin else Path()
    places = (str(inside), str(Path(sys.executable).parent), None)
    return next((found for place in places if (found := shutil.which("perf_analyzer", path=place))), "")


def reason_against() -> str:
    """Why it can't be run; empty where it can."""
    if not command():
        return "perf_analyzer is not installed: its package is empty for this platform; .ci/perf_analyzer gets it"
    tried = subprocess.run([command(), "--version"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"perf_analyzer does not run here: {tried.stderr.strip()[:200]}"


REASON = reason_against()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.fixture(scope="module")
def address(models: Path) -> Iterator[str]:
    with EmbeddedServer(models, "cpu") as server:
        yield server.address


@pytest.fixture
def input_data(tmp_path: Path) -> Path:
    """The image that it sends, again and again."""
    file = io.BytesIO()
    PillowImage.fromarray(np.random.default_rng(7).integers(0, 256, (40, 60), np.uint8)).save(file, "PNG")
    content = base64.b64encode(bytes_tensor([file.getvalue()])).decode()
    path = tmp_path / "input.json"
    path.write_text(json.dumps({"data": [{"image": {"content": {"b64": content}, "shape": [1]}}]}))
    return path


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("tiny.grad_cam", []),
        ("tiny.grad_cam", ["--async"]),
        ("tiny.grad_cam", ["--streaming", "--async"]),
        ("tiny.grad_cam", ["--shared-memory", "system", "--output-shared-memory-size", "8192"]),
        ("tiny", ["--streaming", "--async", "--request-parameter", "steps:5:int"]),
    ],
    ids=["calls", "calls-async", "stream", "shared-memory", "decoupled"],
)
def test_it_measures_without_an_error(
    address: str, input_data: Path, tmp_path: Path, model: str, options: list[str]
) -> None:
    report = tmp_path / "report.csv"
    arguments = ["-m", model, "-u", address, "-i", "grpc", "--input-data", str(input_data), "-f", str(report)]
    # Any two windows of this busy a machine differ; three are enough.
    arguments += ["--concurrency-range", str(CLIENTS), "-p", "700", "-s", "999", "-r", "3", *options]
    done = subprocess.run([command(), *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = csv.DictReader(io.StringIO(report.read_text()))
    assert int(row["Concurrency"]) == CLIENTS
    assert float(row["Inferences/Second"]) > 1
    assert int(row["p99 latency"]) > 0
    for part in ("Server Queue", "Server Compute Input", "Server Compute Infer", "Server Compute Output"):
        assert int(row[part]) >= 0
    assert int(row["Server Compute Infer"]) > 0
