"""Evaluates one bundle: selects images, measures each, keeps the records, and returns what the report needs."""

import asyncio
import platform
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from medxgan.bundle import LoadedBundle
from medxgan.evaluation.catalogue import IMAGE_FIGURES, METHOD_FIGURES
from medxgan.evaluation.errors import ImagesError, MethodError, NotFiniteError, SanityError
from medxgan.evaluation.images import EvaluatedImage, fingerprint, labelled_images, patient_balanced
from medxgan.evaluation.measurement import Laboratory
from medxgan.evaluation.randomisation import Layer, Stage, cascade, classifier_layers, write_randomised
from medxgan.evaluation.records import Record, Records
from medxgan.evaluation.report.contact_sheet import Row
from medxgan.evaluation.served import choose_methods, default_settings, explain, open_images, served
from medxgan.evaluation.settings import EvaluationSettings
from medxgan.server.explanation.scores import Score
from medxgan.server.explanation.table import map_name
from medxgan.server.models.served_model import ServedModel
from medxgan.training.data.source import DataConfig, load
from medxgan.v1 import bundle_pb2

LIBRARIES = ("medxgan", "numpy", "onnx", "onnxruntime", "scikit-image", "torch", "torchmetrics")

RECORDS_FILE = "records.jsonl"

OnProgress = Callable[[int, int], None]
"""Called with the images done and the images in all."""


@dataclass(frozen=True)
class Outcome:
    """What an evaluation found, image by image.

    Attributes:
        bundle: what was evaluated.
        header: what the records depend on.
        images: of the split, all of them.
        scores: C(x) of each.
        explained: ids of the true positives that were explained, in their order.
        available: true positives that there are.
        records: of each of them: the image's own, then one for each method and baseline.
        methods: names of the methods, in the order of the server's table.
        stages: of the sanity check; none where it was left out.
        layers: of the classifier, as far as the sanity check knows them.
        sheet: rows of the contact sheet.
    """

    bundle: LoadedBundle
    header: dict[str, Any]
    images: list[EvaluatedImage]
    scores: list[float]
    explained: list[str]
    available: int
    records: list[list[Record]]
    methods: list[str]
    stages: list[Stage]
    layers: int
    sheet: list[Row]


def evaluate_bundle(
    folder: Path,
    data: DataConfig,
    data_root: Path,
    out: Path,
    settings: EvaluationSettings,
    *,
    fresh: bool = False,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Measure the methods of a bundle on the true positives of a split: positive images that C calls positive.

    May be interrupted at any time and called again: what `out` holds of the same evaluation is not measured again.

    Args:
        folder: the bundle, NAME/VERSION/.
        data: which images.
        data_root: folder that relative paths of `data` start from.
        out: folder of the records; made where there is none.
        settings: what the caller chose.
        fresh: forget what `out` holds.
        on_progress: called after every image.

    Raises:
        BundleError, UnsupportedError: the bundle can't be served.
        DataError: the images can't be read.
        EvaluationError: see `medxgan.evaluation.errors`.
    """
    return asyncio.run(_evaluate(folder, data, data_root, out, settings, fresh, on_progress or (lambda *_: None)))


async def _evaluate(
    folder: Path,
    data: DataConfig,
    data_root: Path,
    out: Path,
    settings: EvaluationSettings,
    fresh: bool,
    on_progress: OnProgress,
) -> Outcome:
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(served(folder, settings.provider, settings.threads))
        bundle = model.bundle
        methods = choose_methods(model, settings.methods)
        images = labelled_images(load(data, data_root), settings.split, bundle.description.image)
        scores = [opened.score for opened in await open_images(model, images)]
        positive = _true_positives(images, scores, bundle.description.classification, settings)
        chosen = positive[: settings.images]

        layers = _layers(bundle, settings)
        stages = cascade(layers)
        laboratory = Laboratory(model, default_settings(model, methods), settings.seed, settings.shortcuts)
        header = _header(laboratory, settings, data, images)
        records = Records(out / RECORDS_FILE, header, fresh=fresh)
        missing = {image.id for image in chosen if image.id not in records}
        probed = {image.id for image in chosen[: settings.sanity_images]}
        if missing & probed:
            randomised = await _serve_randomised(stack, bundle, layers, stages, settings)
            laboratory = replace(laboratory, randomised=randomised)

        for done, image in enumerate(chosen, start=1):
            if image.id in missing:
                try:
                    records.add(image.id, await laboratory.measure(image, sanity=image.id in probed))
                except NotFiniteError as error:
                    raise NotFiniteError(f"{image.id}: {error}") from error
            on_progress(done, len(chosen))
        return Outcome(
            bundle=bundle,
            header=header,
            images=images,
            scores=[score.probability for score in scores],
            explained=[image.id for image in chosen],
            available=len(positive),
            records=[records[image.id] for image in chosen],
            methods=[map_name(kind) for kind in methods],
            stages=stages,
            layers=len(layers),
            sheet=[await _sheet_row(laboratory, image) for image in chosen[: settings.sheet_images]],
        )


def _true_positives(
    images: Sequence[EvaluatedImage],
    scores: Sequence[Score],
    classification: bundle_pb2.Classification,
    settings: EvaluationSettings,
) -> list[EvaluatedImage]:
    threshold = classification.decision_threshold
    labelled = [image.positive for image in images]
    found = [image for image, score in zip(images, scores, strict=True) if image.positive and score.positive]
    if not found:
        raise ImagesError(
            f"{settings.split} split: no true positive to explain: of {len(images)} images {sum(labelled)} are "
            f"positive, and the classifier calls none of these positive (threshold {threshold:g})"
        )
    return patient_balanced(found, settings.seed)


def _header(
    laboratory: Laboratory, settings: EvaluationSettings, data: DataConfig, images: Sequence[EvaluatedImage]
) -> dict[str, Any]:
    """Everything that a record depends on. How many images there are is not among it: a selection can be extended."""
    bundle = laboratory.model.bundle
    return {
        "bundle": bundle.name,
        "bundle_sha256": bundle.sha256,
        "provider": laboratory.model.engine.execution.provider,
        "threads": settings.threads,
        "split": settings.split,
        "data": data.model_dump(mode="json"),
        "images_sha256": fingerprint(images),
        "methods": laboratory.names,
        "settings": asdict(laboratory.settings) | {"maps": [map_name(kind) for kind in laboratory.settings.maps]},
        "figures": [figure.name for figure in (*METHOD_FIGURES, *IMAGE_FIGURES)],
        "sanity_images": settings.sanity_images,
        "shortcuts": settings.shortcuts,
        "seed": settings.seed,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }


def _layers(bundle: LoadedBundle, settings: EvaluationSettings) -> list[Layer]:
    if not settings.sanity_images:
        return []
    if settings.provider == "torch":
        raise MethodError(
            "provider: torch can't serve the randomised bundles of the sanity check; choose another, or leave the "
            "check out by --sanity-images 0"
        )
    (graph,) = bundle.graphs(bundle_pb2.GRAPH_ROLE_CLASSIFIER)
    layers = classifier_layers(onnx.load(bundle.folder / graph.file))
    if not layers:
        raise SanityError(f"{graph.file}: holds no layer with weights; leave the sanity check out by --sanity-images 0")
    return layers


async def _sheet_row(laboratory: Laboratory, image: EvaluatedImage) -> Row:
    (opened,) = await open_images(laboratory.model, [image])
    explanation, _ = await explain(laboratory.model, opened, laboratory.settings)
    inverted = explanation.inverted
    return Row(
        image=image.id,
        x=opened.x[0, 0],
        mask=image.mask,
        regions=laboratory.regions(image),
        realizations=() if inverted is None else (inverted.reconstruction, inverted.negative_realization),
        maps={map_name(kind): made.values for kind, made in explanation.maps.items()},
    )


async def _serve_randomised(
    stack: AsyncExitStack,
    bundle: LoadedBundle,
    layers: Sequence[Layer],
    stages: Sequence[Stage],
    settings: EvaluationSettings,
) -> tuple[ServedModel, ...]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    models = []
    for stage in stages:
        written = write_randomised(bundle, layers[-stage.count :], settings.seed, folder / f"stage-{stage.count}")
        models.append(await stack.enter_async_context(served(written, settings.provider, settings.threads)))
    await _check_alike(models, bundle.description)
    return tuple(models)


async def _check_alike(models: Sequence[ServedModel], description: bundle_pb2.Bundle) -> None:
    """See that a randomised classifier is one and the same in two of its graphs."""
    image, target = description.image, description.classification.positive_class
    x = np.random.default_rng(0).uniform(-1, 1, (4, 1, image.height, image.width)).astype(np.float32)
    for model in models:
        alone = await model.networks.logits(x, target)
        attributed = (await model.networks.attribution(x, target, ["logit"]))["logit"]
        if not np.allclose(alone, attributed, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(alone).max()))):
            raise SanityError(
                "attribution.onnx: with random weights its logit is no longer the classifier's, so that its weights "
                "are not all known; leave the check out by --sanity-images 0"
            )
