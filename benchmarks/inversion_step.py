"""One gradient step of the inversion: the server's engine on ONNX Runtime against PyTorch eager, with the same weights.

    python benchmarks/inversion_step.py                                     untrained networks of the chest's sizes
    python benchmarks/inversion_step.py --bundle models/chest/9 --run RUN   a bundle and the run that it was made from

PyTorch runs the published procedure, autograd and `torch.optim.Adam`, with frozen weights. Both start from the same
codes and take blocks of steps in turn; both hand the losses of a block to the host, which on a GPU waits for the work.
Writes inversion_step.json and inversion_step.md.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from measuring import conditions, machine, quartiles, write_results
from torch import Tensor, nn

from medxgan.bundle import load_bundle
from medxgan.export.bundle import export_bundle
from medxgan.server.engine.port import Engine, FloatArray, InversionState
from medxgan.server.engine.providers import ProviderChoice
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.training.model import TrainedModel
from medxgan.training.networks import Classifier, TwoBranchGenerator
from medxgan.training.preprocessing import Preprocess
from medxgan.training.runs import load_trained_model
from medxgan.v1.bundle_pb2 import (
    ASPECT_CROP,
    OUTPUT_ACTIVATION_LOGISTIC,
    Classification,
    ClassifierOutput,
    ImageSpecification,
    Interval,
    InversionSpecification,
    Provenance,
    Reliability,
)

BATCHES = (1, 4, 16)
BLOCK = 20
"""Steps that are timed together."""

PAUSE = 0.05
"""Seconds between two blocks: a thread pool that has just worked spins for a while and would slow the other down."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds per gradient step of a batch.

    Attributes:
        batch: rows.
        engine: median over the repeats.
        engine_quartiles: first and third quartile.
        pytorch: median over the repeats.
        pytorch_quartiles: first and third quartile.
        ratio: median of PyTorch over median of the engine; above 1 the engine is faster.
    """

    batch: int
    engine: float
    engine_quartiles: tuple[float, float]
    pytorch: float
    pytorch_quartiles: tuple[float, float]
    ratio: float


class EagerInversion:
    """The published inversion, by autograd and `torch.optim.Adam`."""

    def __init__(self, model: TrainedModel, state: InversionState, device: torch.device) -> None:
        self.generator = model.generator.to(device)
        self.classifier = model.classifier.to(device)
        self.image, self.target = (torch.from_numpy(each).to(device) for each in (state.image, state.target))
        self.weight = torch.from_numpy(state.reconstruction_weight).to(device)
        self.z = nn.Parameter(torch.from_numpy(state.z.copy()).to(device))
        adam = model.inversion
        rate = float(state.learning_rate[0, 0])
        self.optimizer = torch.optim.Adam([self.z], lr=rate, betas=(adam.beta1, adam.beta2), eps=adam.epsilon)

    def advance(self, steps: int) -> FloatArray:
        """Take gradient steps; the total loss [B] before the last of them."""
        for _ in range(steps):
            total = self._loss()
            self.optimizer.zero_grad()
            total.sum().backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        loss: FloatArray = total.detach().cpu().numpy()
        return loss

    def _loss(self) -> Tensor:
        picture = self.generator(self.z)
        reconstruction = ((picture - self.image) ** 2).mean((1, 2, 3))
        logit = self.classifier(picture)
        classification = F.binary_cross_entropy_with_logits(logit, self.target, reduction="none")
        total: Tensor = self.weight * reconstruction + classification
        return total


def main(
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; together with --run.")] = None,
    run: Annotated[Path | None, typer.Option(help="Training run that the bundle was made from.")] = None,
    provider: Annotated[ProviderChoice, typer.Option(help="What runs the engine.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Threads within an operator, for both.")] = os.cpu_count() or 1,
    repeats: Annotated[int, typer.Option(min=4, help="Timed blocks of each.")] = 30,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Time one gradient step: the engine against PyTorch eager."""
    if (bundle is None) != (run is None):
        raise typer.BadParameter("--bundle and --run go together: the bundle has the graphs, the run the networks")
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as temporary:
        if bundle is None or run is None:
            model, folder = untrained_model(), Path(temporary) / "untrained" / "1"
            export_bundle(model, folder)
        else:
            model, folder = load_trained_model(run), bundle
        engine = open_engine(load_bundle(folder), EngineSettings(provider, threads))
        timings = [compare(model, engine, batch, repeats) for batch in BATCHES]
    report = {
        **conditions(threads, "torch", "onnxruntime"),
        "model": "untrained, chest sizes" if bundle is None else f"{bundle.parent.name}/{bundle.name}",
        "provider": engine.execution.provider,
        "repeats": repeats,
        "steps_per_repeat": BLOCK,
        "timings": [asdict(timing) for timing in timings],
    }
    write_results(out, "inversion_step", report, markdown(report, timings))


def compare(model: TrainedModel, engine: Engine, batch: int, repeats: int) -> Timing:
    """Blocks of both in turn, on one batch of images.

    Raises:
        RuntimeError: the two do not compute the same.
    """
    state = start(model, batch)
    device = torch.device("cpu" if engine.execution.provider == "CPUExecutionProvider" else "cuda")
    eager, graph = EagerInversion(model, state, device), engine.start(state)

    def eager_block() -> FloatArray:
        return eager.advance(BLOCK)

    def graph_block() -> FloatArray:
        losses = graph.advance(BLOCK)
        total: FloatArray = state.reconstruction_weight * losses.reconstruction + losses.classification
        return total

    # The first blocks warm up, and show that both walk the same way.
    if not np.allclose(eager_block(), graph_block(), rtol=0.02, atol=1e-3):
        raise RuntimeError(f"batch {batch}: the engine and PyTorch disagree about the loss after {BLOCK} steps")
    times: dict[Callable[[], FloatArray], list[float]] = {eager_block: [], graph_block: []}
    for _ in range(repeats):
        for block, taken in times.items():
            time.sleep(PAUSE)
            before = time.perf_counter()
            block()
            taken.append((time.perf_counter() - before) / BLOCK * 1000)
    medians = {block: statistics.median(taken) for block, taken in times.items()}
    return Timing(
        batch=batch,
        engine=medians[graph_block],
        engine_quartiles=quartiles(times[graph_block]),
        pytorch=medians[eager_block],
        pytorch_quartiles=quartiles(times[eager_block]),
        ratio=medians[eager_block] / medians[graph_block],
    )


@torch.no_grad()
def start(model: TrainedModel, batch: int) -> InversionState:
    """Inversions of generated images, from other codes."""
    random = torch.Generator().manual_seed(0)
    latents = model.generator.z1_size + model.generator.z2_size
    generator, classifier = model.generator.cpu(), model.classifier.cpu()
    image = generator(torch.randn(batch, latents, generator=random))
    z = 0.5 * torch.randn(batch, latents, generator=random)
    return InversionState(
        z=z.numpy(),
        first_moment=np.zeros((batch, latents), np.float32),
        second_moment=np.zeros((batch, latents), np.float32),
        step=np.zeros(batch, np.float32),
        image=image.numpy(),
        target=torch.sigmoid(classifier(image)).numpy(),
        learning_rate=np.full((batch, latents), model.inversion.default_learning_rate, np.float32),
        reconstruction_weight=np.full(batch, model.inversion.default_reconstruction_weight, np.float32),
    )


def untrained_model() -> TrainedModel:
    """Networks of the chest model's sizes with random weights: a step takes as long as with trained ones."""
    torch.manual_seed(0)
    size = 64
    return TrainedModel(
        preprocess=Preprocess(size, 1, 99, "crop").eval(),
        classifier=Classifier(16).eval().requires_grad_(False),
        generator=TwoBranchGenerator(96, 32, (112, 80, 56, 28), (80, 56, 40, 20)).eval().requires_grad_(False),
        encoder=None,
        image=ImageSpecification(
            height=size,
            width=size,
            channels=1,
            lower_percentile=1,
            upper_percentile=99,
            aspect=ASPECT_CROP,
            modality="none",
        ),
        classification=Classification(
            outputs=[ClassifierOutput(name="none")],
            activation=OUTPUT_ACTIVATION_LOGISTIC,
            positive_class="none",
            negative_class="none",
            decision_threshold=0.5,
        ),
        inversion=InversionSpecification(
            default_steps=100,
            maximum_steps=500,
            default_learning_rate=0.01,
            learning_rate_range=Interval(minimum=0.001, maximum=0.1),
            default_reconstruction_weight=4,
            reconstruction_weight_range=Interval(minimum=0.1, maximum=100),
            check_interval=10,
            beta1=0.5,
            beta2=0.999,
            epsilon=1e-8,
        ),
        reliability=Reliability(maximum_reconstruction_mse=1, method="none"),
        provenance=Provenance(data=["none"], license="Apache-2.0"),
        metrics=(),
    )


def markdown(report: Mapping[str, object], timings: list[Timing]) -> str:
    """The report as a page."""
    lines = [
        "# One gradient step: the engine against PyTorch eager",
        "",
        f"Model {report['model']}; {report['provider']}; {machine(report)}. "
        f"Medians (quartiles) of {report['repeats']} blocks of {report['steps_per_repeat']} steps, taken in turn.",
        "",
        f"    {report['command']}",
        "",
        "| Batch | Engine, ms per step | PyTorch eager, ms per step | Ratio |",
        "| ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {each.batch} | {each.engine:.2f} ({each.engine_quartiles[0]:.2f} to {each.engine_quartiles[1]:.2f}) "
        f"| {each.pytorch:.2f} ({each.pytorch_quartiles[0]:.2f} to {each.pytorch_quartiles[1]:.2f}) "
        f"| {each.ratio:.2f} |"
        for each in timings
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
