"""How a gradient step grows with batch, picture and latent code, and how far it is from the floor of the machine.

    python benchmarks/scaling.py

Untrained networks of the two-branch form: a step takes as long as with trained ones. The floor is the time that the
step's convolutions and products would take at the rate at which this machine multiplies large matrices (float32, all
threads, numpy). Writes scaling.json and .md.
"""

import math
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import torch
import typer
from inversion_step import start, untrained_model
from measuring import conditions, machine, write_results
from torch import nn

from medxgan.bundle import load_bundle
from medxgan.export.bundle import export_bundle
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.training.model import TrainedModel
from medxgan.training.networks import TwoBranchGenerator
from medxgan.training.networks.channels import decoder_channels
from medxgan.training.preprocessing import Preprocess

BATCHES = (1, 2, 4, 8, 16, 32, 64)
SIZES = (64, 128, 256)
LATENTS = (32, 128, 512)
USUAL_LATENTS = 128
LEAK = 0.2
"""Slope of the generator's activations below 0."""

MATRIX = 2048
SECONDS = 1.5
"""That one figure is measured for, at least three steps."""


@dataclass(frozen=True)
class Point:
    """One figure.

    Attributes:
        size: side of the picture.
        latents: of the coarse codes, z1 and z2 together.
        batch: rows.
        milliseconds: of a step, the median.
        megaflops: of its convolutions and products.
        of_floor: the floor over the time, 1 being the machine's rate for large matrices.
        megabytes: most memory beyond what the process had before.
    """

    size: int
    latents: int
    batch: int
    milliseconds: float
    megaflops: float
    of_floor: float
    megabytes: float


def main(
    sizes: Annotated[list[int] | None, typer.Option(help="Sides of the picture; 64, 128, 256.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads within an operator.")] = os.cpu_count() or 1,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Measure how a gradient step grows. Exporting and checking a bundle for each network takes time, too."""
    rate = _multiplication_rate()
    points = [point for size in sizes or SIZES for point in _measure(size, USUAL_LATENTS, BATCHES, threads, rate)]
    other_latents = [latents for latents in LATENTS if latents != USUAL_LATENTS]
    points += [point for latents in other_latents for point in _measure(SIZES[0], latents, (8,), threads, rate)]
    report = {
        **conditions(threads, "onnxruntime", "numpy"),
        "gigaflops_of_large_matrices": rate / 1e9,
        "points": [asdict(point) for point in points],
    }
    write_results(out, "scaling", report, _page(report, points))


def _multiplication_rate() -> float:
    """Operations a second in the product of two large matrices of float32."""
    matrix = np.random.default_rng(0).standard_normal((MATRIX, MATRIX), np.float32)
    times = []
    for _ in range(6):
        began = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - began)
    return 2 * MATRIX**3 / min(times)


def _measure(size: int, latents: int, batches: tuple[int, ...], threads: int, rate: float) -> list[Point]:
    model = _model(size, latents)
    points = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "scaling" / "1"
        export_bundle(model, folder)
        operations = _operations(folder / "inversion_step.onnx")
        engine = open_engine(load_bundle(folder), EngineSettings("cpu", threads))
        for batch in batches:
            state = start(model, batch)
            _forget_peak()
            before = _memory("VmRSS")
            run = engine.start(state)
            run.advance(1)
            times: list[float] = []
            while len(times) < 3 or sum(times) < SECONDS:
                began = time.perf_counter()
                run.advance(1)
                times.append(time.perf_counter() - began)
            seconds = float(np.median(times))
            points.append(
                Point(
                    size,
                    latents,
                    batch,
                    1000 * seconds,
                    batch * operations / 1e6,
                    batch * operations / rate / seconds,
                    max(0.0, _memory("VmHWM") - before),
                )
            )
            print(points[-1], flush=True)
    return points


def _model(size: int, latents: int) -> TrainedModel:
    model = untrained_model()
    torch.manual_seed(0)
    anatomy, pathology = (decoder_channels(channels, size) for channels in ((112, 80, 56, 28), (80, 56, 40, 20)))
    generator = TwoBranchGenerator(3 * latents // 4, latents // 4, anatomy, pathology).eval().requires_grad_(False)
    # Of many layers of torch's own weights little comes through, and an export checks that something does.
    for layer in generator.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, LEAK)
    image = type(model.image)()
    image.CopyFrom(model.image)
    image.height = image.width = size
    preprocess = Preprocess(size, 1, 99, "crop").eval()
    return replace(model, generator=generator, preprocess=preprocess, image=image)


def _operations(file: Path) -> float:
    """Additions and multiplications of one row's convolutions and products."""
    model = onnx.load(file, load_external_data=False)
    for value in (*model.graph.input, *model.graph.output):
        for extent in value.type.tensor_type.shape.dim:
            if extent.dim_param:
                extent.dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [extent.dim_value or 1 for extent in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    } | {weight.name: list(weight.dims) for weight in inferred.initializer}
    total = 0.0
    for node in inferred.node:
        match node.op_type:
            case "Conv":
                total += 2 * math.prod(shapes[node.input[1]]) * math.prod(shapes[node.output[0]][2:])
            case "ConvTranspose":
                total += 2 * math.prod(shapes[node.input[1]]) * math.prod(shapes[node.input[0]][2:])
            case "Gemm" | "MatMul":
                total += 2 * math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return total


def _memory(field: str) -> float:
    """Megabytes of this process: VmRSS now, VmHWM at most since `_forget_peak`; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)


def _forget_peak() -> None:
    peak = Path("/proc/self/clear_refs")
    if peak.exists():
        peak.write_text("5")


def _exponent(sizes: list[int], times: list[float]) -> float:
    """Exponent of time as a power of size, by least squares in the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def _page(report: Mapping[str, object], points: list[Point]) -> str:
    lines = [
        "# How a gradient step grows",
        "",
        f"{machine(report)}. Large matrices: {report['gigaflops_of_large_matrices']:.0f} GFLOP/s.",
        "",
        f"    {report['command']}",
        "",
        "| side | coarse latents | batch | ms a step | ms a row | MFLOP | share of the machine's rate | memory, MB |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {each.size} | {each.latents} | {each.batch} | {each.milliseconds:.1f} | "
        f"{each.milliseconds / each.batch:.2f} | {each.megaflops:.0f} | {each.of_floor:.0%} | {each.megabytes:.0f} |"
        for each in points
    ]
    lines.append("")
    sizes = sorted({each.size for each in points})
    for size in sizes:
        rows = [each for each in points if (each.size, each.latents) == (size, USUAL_LATENTS)]
        if not rows:
            continue
        exponent = _exponent([each.batch for each in rows], [each.milliseconds for each in rows])
        lines.append(f"At a side of {size}, time grows with the batch to the power of {exponent:.2f}.")
    eight = [each for each in points if (each.latents, each.batch) == (USUAL_LATENTS, 8)]
    if len(eight) > 1:
        exponent = _exponent([each.size for each in eight], [each.milliseconds for each in eight])
        lines.append(f"With a batch of 8 it grows with the side to the power of {exponent:.2f}.")
    latents = [each for each in points if (each.size, each.batch) == (SIZES[0], 8)]
    exponent = _exponent([each.latents for each in latents], [each.milliseconds for each in latents])
    lines.append(f"With the coarse latents it grows to the power of {exponent:.2f}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
