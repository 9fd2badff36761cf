"""Grad-CAM and integrated gradients: the server on ONNX Runtime against Captum on PyTorch eager, with the same weights.

    python benchmarks/attribution.py

The server's side is `Explainer.explain`, as a request meets it behind the transport; a batch is that many requests at
once. Captum gets the batch as one tensor, and its defaults. Both compute the same images in turn, and are
first seen to give the same maps. Writes attribution.json and attribution.md.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam  # type: ignore[import-untyped]
from measuring import conditions, machine, quartiles, write_results
from monai.networks import nets  # type: ignore[import-untyped]
from torch import Tensor, nn

from medxgan.bundle import load_bundle
from medxgan.export.bundle import export_bundle
from medxgan.server.engine.port import FloatArray
from medxgan.server.engine.providers import ProviderChoice
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.explanation.explanation import OpenedImage
from medxgan.server.explanation.request import resolve_settings
from medxgan.server.explanation.scores import Score
from medxgan.server.explanation.settings import ExplanationSettings
from medxgan.server.images.film import Film, Placement
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.served_model import ServedModel
from medxgan.server.stopwatch import Stopwatch
from medxgan.training.model import TrainedModel
from medxgan.training.networks import Classifier, ExplainedClassifier, ExternalClassifier
from medxgan.training.preprocessing import Preprocess
from medxgan.v1.bundle_pb2 import (
    ASPECT_CROP,
    OUTPUT_ACTIVATION_LOGISTIC,
    Classification,
    ClassifierOutput,
    ImageSpecification,
    Provenance,
)
from medxgan.v1.explanation_pb2 import (
    MAP_KIND_GRAD_CAM,
    MAP_KIND_INTEGRATED_GRADIENTS,
    ExplainRequest,
    ExplainSettings,
    IntegratedGradientsSettings,
    MapKind,
    MapRequest,
)

SIZE = 64
BATCHES = (1, 16)
BASELINE = -1.0
PATH_STEPS = 50

PAUSE = 0.05
"""Seconds between two timings: a thread pool that has just worked spins for a while and would slow the other down."""

STRETCH = 0.1
"""Seconds that calls of a short method are timed together: the first after a pause are slower."""

ENOUGH = 90.0
"""Seconds after which a comparison has enough repeats, if it has five."""

AGREEMENT = 0.05
"""Largest difference of two maps over the largest magnitude. A ReLU at its kink may fall on either side of it, which
moves a gradient by a per cent; an error in one of the two moves it by far more."""

METHODS = {
    "Grad-CAM": MAP_KIND_GRAD_CAM,
    f"integrated gradients, {PATH_STEPS} points": MAP_KIND_INTEGRATED_GRADIENTS,
}


@dataclass(frozen=True)
class Network:
    """A classifier that both sides run.

    Attributes:
        name: for the report.
        explained: as export takes it.
        eager: as Captum takes it: x to logits.
        layer: of `eager`, what Grad-CAM looks at.
    """

    name: str
    explained: ExplainedClassifier
    eager: nn.Module
    layer: nn.Module


@dataclass(frozen=True)
class Timing:
    """Milliseconds per image.

    Attributes:
        network: the classifier.
        method: the method of attribution.
        batch: images at once.
        server: median over the repeats.
        server_quartiles: first and third quartile.
        captum: median over the repeats.
        captum_quartiles: first and third quartile.
        ratio: median of Captum over median of the server; above 1 the server is faster.
        repeats: timings of each.
    """

    network: str
    method: str
    batch: int
    server: float
    server_quartiles: tuple[float, float]
    captum: float
    captum_quartiles: tuple[float, float]
    ratio: float
    repeats: int


def main(
    provider: Annotated[ProviderChoice, typer.Option(help="What runs the server's engine.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Threads within an operator, for both.")] = os.cpu_count() or 1,
    repeats: Annotated[int, typer.Option(min=5, help="Timings of each, at most.")] = 30,
    maximum_batch: Annotated[int, typer.Option(min=1, help="Rows that the server runs at once; its default is 8.")] = 8,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Time two methods of attribution: the server against Captum."""
    torch.set_num_threads(threads)
    timings: list[Timing] = []
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as temporary, closing(loop):
        for network in (shipped_architecture(), resnet()):
            folder = Path(temporary) / network.name.lower().replace(" ", "-") / "1"
            export_bundle(trained_model(network.explained), folder)
            bundle = load_bundle(folder)
            engine = open_engine(bundle, EngineSettings(provider, threads, maximum_rows=maximum_batch))
            model = ServedModel(bundle, [engine], ModelCapacity(maximum_batch))
            loop.run_until_complete(model.start())
            timings += [compare(loop, model, network, name, batch, repeats) for name in METHODS for batch in BATCHES]
            running = model.engine.execution.provider
            loop.run_until_complete(model.stop())
    report = {
        **conditions(threads, "torch", "captum", "monai", "onnxruntime"),
        "size": SIZE,
        "provider": running,
        "maximum_batch": maximum_batch,
        "timings": [asdict(timing) for timing in timings],
    }
    write_results(out, "attribution", report, markdown(report, timings))


def compare(
    loop: asyncio.AbstractEventLoop, model: ServedModel, network: Network, method: str, batch: int, repeats: int
) -> Timing:
    """Both in turn, on one batch of images.

    Raises:
        RuntimeError: the two do not give the same maps.
    """
    random = np.random.default_rng(batch)
    rows = random.uniform(-1, 1, (batch, 1, SIZE, SIZE)).astype(np.float32)
    device = torch.device("cpu" if model.engine.execution.provider == "CPUExecutionProvider" else "cuda")
    network.eager.to(device)
    x = torch.from_numpy(rows).to(device)

    def served() -> FloatArray:
        return loop.run_until_complete(serve(model, rows, METHODS[method]))

    def captum() -> FloatArray:
        maps: FloatArray = explain(network, x, METHODS[method]).detach().cpu().numpy()
        return maps[:, 0]

    # The first runs warm up, and show that both give the same.
    found, expected = served(), captum()
    error = np.abs(found - expected).max() / np.abs(expected).max()
    if not error < AGREEMENT:
        raise RuntimeError(f"{network.name}, {method}, batch {batch}: the server and Captum disagree by {error:.3g}")
    before = time.perf_counter()
    captum()
    calls = max(1, round(STRETCH / (time.perf_counter() - before)))
    times: dict[Callable[[], FloatArray], list[float]] = {served: [], captum: []}
    began = time.perf_counter()
    for repeat in range(repeats):
        if repeat >= 5 and time.perf_counter() - began > ENOUGH:
            break
        for side, taken in times.items():
            time.sleep(PAUSE)
            before = time.perf_counter()
            for _ in range(calls):
                side()
            taken.append((time.perf_counter() - before) / (calls * batch) * 1000)
    medians = {side: statistics.median(taken) for side, taken in times.items()}
    return Timing(
        network=network.name,
        method=method,
        batch=batch,
        server=medians[served],
        server_quartiles=quartiles(times[served]),
        captum=medians[captum],
        captum_quartiles=quartiles(times[captum]),
        ratio=medians[captum] / medians[served],
        repeats=len(times[served]),
    )


async def serve(model: ServedModel, rows: FloatArray, method: MapKind) -> FloatArray:
    """The server's maps [B, S, S] of rows [B, 1, S, S], a request each."""
    path = IntegratedGradientsSettings(steps=PATH_STEPS, baseline=BASELINE)
    request = ExplainRequest(maps=[MapRequest(kind=method)], settings=ExplainSettings(integrated_gradients=path))
    settings = resolve_settings(request, model.bundle.description)
    return np.stack(await asyncio.gather(*(serve_one(model, row[np.newaxis], settings) for row in rows)))


async def serve_one(model: ServedModel, x: FloatArray, settings: ExplanationSettings) -> FloatArray:
    """The server's map [S, S] of x: [1, 1, S, S]."""
    placement = Placement.of(Film(x[0, 0]), np.array([0, 0, SIZE, SIZE], np.float32))
    opened = OpenedImage(x, placement, Score(1.0, positive=True), checks=(), z=None, notes=())
    explanation = await model.explainer.explain(opened, settings, "benchmark", Stopwatch())
    return explanation.maps[settings.maps[0]].values


def explain(network: Network, x: Tensor, method: MapKind) -> Tensor:
    """Captum's maps [B, 1, S, S] of x: [B, 1, S, S]."""
    if method == MAP_KIND_GRAD_CAM:
        evidence = LayerGradCam(network.eager, network.layer).attribute(x, 0, relu_attributions=True)
        maps: Tensor = LayerAttribution.interpolate(evidence, (SIZE, SIZE), "bilinear")
    else:
        baseline = torch.full_like(x, BASELINE)
        maps = IntegratedGradients(network.eager).attribute(x, baseline, 0, n_steps=PATH_STEPS)
    return maps


class OneColumn(nn.Module):
    """A classifier with one output, which Captum wants as a column."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, 1] of x: [B, 1, S, S]."""
        logit: Tensor = self.classifier(x)
        return logit[:, None]


def shipped_architecture() -> Network:
    """The architecture of the shipped chest classifier with random weights: it takes as long as with trained ones."""
    torch.manual_seed(0)
    classifier = Classifier(16).eval().requires_grad_(False)
    return Network("Shipped architecture", classifier, OneColumn(classifier), classifier.blocks[-1])


def resnet() -> Network:
    """MONAI's ResNet-18 with one channel, one output and random weights."""
    torch.manual_seed(0)
    network = nets.resnet18(spatial_dims=2, n_input_channels=1, num_classes=1, shortcut_type="B")
    network = network.eval().requires_grad_(False)
    explained = ExternalClassifier(network, SIZE).eval().requires_grad_(False)
    return Network("MONAI ResNet-18", explained, network, network.get_submodule(explained.layer))


def trained_model(classifier: ExplainedClassifier) -> TrainedModel:
    """What export wants to know of a classifier alone."""
    return TrainedModel(
        preprocess=Preprocess(SIZE, 1, 99, "crop").eval(),
        classifier=classifier,
        generator=None,
        encoder=None,
        image=ImageSpecification(
            height=SIZE,
            width=SIZE,
            channels=1,
            lower_percentile=1,
            upper_percentile=99,
            aspect=ASPECT_CROP,
            modality="none",
        ),
        classification=Classification(
            outputs=[ClassifierOutput(name="some")],
            activation=OUTPUT_ACTIVATION_LOGISTIC,
            positive_class="some",
            negative_class="none",
            decision_threshold=0.5,
        ),
        inversion=None,
        reliability=None,
        provenance=Provenance(data=["none"], license="Apache-2.0"),
        metrics=(),
    )


def markdown(report: Mapping[str, object], timings: list[Timing]) -> str:
    """The report as a page."""
    lines = [
        "# Attribution: the server against Captum",
        "",
        f"Random weights, {SIZE}x{SIZE} pixels; {report['provider']}; {report['maximum_batch']} rows at once on the "
        f"server; {machine(report)}. Medians (quartiles) of runs in turn.",
        "",
        f"    {report['command']}",
        "",
        "| Classifier | Method | Batch | Server, ms per image | Captum, ms per image | Ratio | Runs |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {each.network} | {each.method} | {each.batch} "
        f"| {each.server:.2f} ({each.server_quartiles[0]:.2f} to {each.server_quartiles[1]:.2f}) "
        f"| {each.captum:.2f} ({each.captum_quartiles[0]:.2f} to {each.captum_quartiles[1]:.2f}) "
        f"| {each.ratio:.2f} | {each.repeats} |"
        for each in timings
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
