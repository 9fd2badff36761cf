"""Inversions by every provider of the server's engine that runs here, against PyTorch eager and compiled.

    python benchmarks/providers.py models/chest/9 --run training/weights/chest-128

All have the same weights, images and starts, and take the bundle's default number of Adam's steps; the compiled peer
is `torch.compile` with CUDA graphs (`mode="reduce-overhead"`). Each is warmed up at every batch first; then they take
turns. What this machine does not have is left out and named. Writes providers-NAME.json and .md.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from inversion_step import EagerInversion, start
from measuring import conditions, machine, write_results
from torch import Tensor

from medxgan.bundle import load_bundle
from medxgan.server.engine.port import FloatArray, InversionState
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.training.model import TrainedModel
from medxgan.training.runs import load_trained_model

BATCHES = (1, 8, 32)
ENGINES = {
    "CPU": EngineSettings("cpu", maximum_rows=max(BATCHES)),
    "OpenVINO": EngineSettings("openvino", maximum_rows=max(BATCHES)),
    "CUDA": EngineSettings("cuda", maximum_rows=max(BATCHES), cuda_graphs=False),
    "CUDA graphs": EngineSettings("cuda", maximum_rows=max(BATCHES)),
    "TensorRT": EngineSettings("tensorrt", maximum_rows=max(BATCHES)),
    "TensorRT, 16 bits": EngineSettings("tensorrt", maximum_rows=max(BATCHES), half_precision=True),
}
PEER = "torch.compile"

Invert = Callable[[InversionState], FloatArray]
"""Inverts a batch and gives the losses before the last step, on the host."""


@dataclass(frozen=True)
class Timing:
    """Of one way at one batch: milliseconds of an inversion, explanations a second, and times the peer's."""

    name: str
    batch: int
    p50_ms: float
    p99_ms: float
    per_second: float
    of_peer: float


class CompiledInversion:
    """Adam's steps by `torch.compile`, as one function from state to state."""

    def __init__(self, model: TrainedModel, device: torch.device) -> None:
        self._generator, self._classifier = model.generator.to(device), model.classifier.to(device)
        self._adam = model.inversion
        self._device = device
        # CUDA graphs where there is CUDA; elsewhere the mode means the default.
        self._step = torch.compile(self._taken, mode="reduce-overhead")

    def __call__(self, state: InversionState, steps: int) -> FloatArray:
        """Take steps; the total loss [B] before the last."""
        names = ("z", "first_moment", "second_moment")
        z, first, second = (torch.from_numpy(getattr(state, name).copy()).to(self._device) for name in names)
        constants = ("image", "target", "learning_rate", "reconstruction_weight")
        image, target, rate, weight = (torch.from_numpy(getattr(state, name)).to(self._device) for name in constants)
        for step in range(1, steps + 1):
            count = torch.tensor(float(step), device=self._device)
            outputs = self._step(z, first, second, count, image, target, rate, weight)
            # What a CUDA graph wrote is overwritten by its next replay.
            z, first, second, loss = (each.clone() for each in outputs)
        result: FloatArray = loss.cpu().numpy()
        return result

    def _taken(
        self,
        z: Tensor,
        first: Tensor,
        second: Tensor,
        count: Tensor,
        image: Tensor,
        target: Tensor,
        rate: Tensor,
        weight: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        def total(code: Tensor) -> tuple[Tensor, Tensor]:
            picture = self._generator(code)
            logit = self._classifier(picture)
            loss = weight * ((picture - image) ** 2).mean((1, 2, 3)) + F.binary_cross_entropy_with_logits(
                logit, target, reduction="none"
            )
            return loss.sum(), loss

        gradient, loss = torch.func.grad(total, has_aux=True)(z)
        beta1, beta2 = self._adam.beta1, self._adam.beta2
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        scale = (second / (1 - beta2**count)).sqrt() + self._adam.epsilon
        return z - rate * (first / (1 - beta1**count)) / scale, first, second, loss


def main(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, NAME/VERSION.")],
    run: Annotated[Path, typer.Option(help="Training run that it was made from.")],
    repeats: Annotated[int, typer.Option(min=4, help="Timed inversions of each batch.")] = 50,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Time inversions on everything that this machine has."""
    loaded, model = load_bundle(bundle), load_trained_model(run)
    steps = loaded.description.inversion.default_steps
    ways, missing = found_ways(bundle, model, steps)
    timings = []
    # Networks of their own: those that are timed stay on their device.
    drawing = load_trained_model(run)
    for batch in BATCHES:
        timings += compare(ways, start(drawing, batch), batch, repeats)
        print(timings[-len(ways) :], flush=True)
    report = {
        **conditions(torch.get_num_threads(), "torch", installed_runtime()),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU",
        "bundle": f"{bundle.parent.name}/{bundle.name}",
        "steps": steps,
        "repeats": repeats,
        "missing": missing,
        "timings": [asdict(timing) for timing in timings],
    }
    write_results(out, f"providers-{bundle.parent.name}", report, page(report, timings))


def installed_runtime() -> str:
    """The distribution of ONNX Runtime in this environment."""
    return metadata.packages_distributions()["onnxruntime"][0]


def found_ways(folder: Path, model: TrainedModel, steps: int) -> tuple[dict[str, Invert], dict[str, str]]:
    """The ways to invert that run here, and of the others why not."""
    ways: dict[str, Invert] = {}
    missing: dict[str, str] = {}
    bundle = load_bundle(folder)
    for name, settings in ENGINES.items():
        engine = open_engine(bundle, settings)
        if engine.execution.fallback_reason:
            missing[name] = engine.execution.fallback_reason
            continue
        engine.warm_up()

        def invert(state: InversionState, start=engine.start) -> FloatArray:  # type: ignore[no-untyped-def]
            losses = start(state).advance(steps)
            total: FloatArray = state.reconstruction_weight * losses.reconstruction + losses.classification
            return total

        ways[name] = invert
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ways["PyTorch eager"] = lambda state: EagerInversion(model, state, device).advance(steps)
    compiled = CompiledInversion(model, device)
    ways[PEER] = lambda state: compiled(state, steps)
    return ways, missing


def compare(ways: Mapping[str, Invert], state: InversionState, batch: int, repeats: int) -> list[Timing]:
    """All ways in turn on one batch.

    Raises:
        RuntimeError: one computes something else than the others.
    """
    reference = ways["PyTorch eager"](state)
    for name, way in ways.items():
        way(state)
        apart = float(abs(way(state) - reference).max() / abs(reference).max())
        if apart > (0.05 if "16 bits" in name else 0.02):
            raise RuntimeError(f"{name}, batch {batch}: its loss is {apart:.2g} of the largest away from PyTorch's")
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            before = time.perf_counter()
            way(state)
            taken[name].append(1000 * (time.perf_counter() - before))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    return [
        Timing(
            name,
            batch,
            p50_ms=medians[name],
            p99_ms=sorted(times)[int(0.99 * (len(times) - 1))],
            per_second=1000 * batch / medians[name],
            of_peer=medians[PEER] / medians[name],
        )
        for name, times in taken.items()
    ]


def page(report: Mapping[str, object], timings: list[Timing]) -> str:
    """The report as a page."""
    missing: dict[str, str] = report["missing"]  # type: ignore[assignment]
    lines = [
        f"# Inversions by provider: {report['bundle']}, {report['steps']} steps of Adam",
        "",
        f"{machine(report)}; {report['device']}. Medians of {report['repeats']} inversions, taken in turn.",
        "",
        f"    {report['command']}",
        "",
        f"| | batch | p50, ms | p99, ms | explanations a second | times {PEER} |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| {each.name} | {each.batch} | {each.p50_ms:.1f} | {each.p99_ms:.1f} | {each.per_second:.0f} | "
            f"{each.of_peer:.2f} |"
            for each in timings
        ),
        *(f"\nNot here: {name} ({reason})." for name, reason in missing.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
