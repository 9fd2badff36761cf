"""From records to `report.json`: means over images with their intervals, curves, ranks, and everything they rest on."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from medxgan.evaluation.catalogue import IMAGE_FIGURES, METHOD_FIGURES, Figure
from medxgan.evaluation.coverage import coverage_curve
from medxgan.evaluation.evaluation import Outcome
from medxgan.evaluation.images import EvaluatedImage
from medxgan.evaluation.lesion_size import by_lesion_size
from medxgan.evaluation.measurement import is_reliable
from medxgan.evaluation.metrics.deletion_insertion import SHARES
from medxgan.evaluation.records import Record
from medxgan.evaluation.saliency import BASELINES
from medxgan.evaluation.statistics import DRAWS, LEVEL, auc_estimate, figure_estimates, mean_estimate
from medxgan.server.explanation.maps.residual import smoothing_window

Report = dict[str, Any]

FORMAT = 2
"""Version of report.json."""

RELIABLE = "reliable"
ALL = "all"


def summarise(outcome: Outcome, command: str) -> Report:
    """Everything that was found.

    The same evaluation gives the same report however often it was interrupted, but for `cost`, since times differ, and
    `command`.

    Args:
        outcome: of the evaluation.
        command: that made it.
    """
    of_method = {
        name: [record for own in outcome.records for record in own if record.get("method") == name]
        for name in (*outcome.methods, *BASELINES)
    }
    of_image = [own[0] for own in outcome.records]
    reliable = {record["image"] for record in of_image if is_reliable(record)}
    judged = any(record["verdict"] is not None for record in of_image)
    subsets: dict[str, Callable[[Record], bool]] = {ALL: lambda _: True}
    if judged:
        subsets[RELIABLE] = lambda record: record["image"] in reliable
    seed = int(outcome.header["seed"])
    figures = {
        name: {subset: _figures(filter(chosen, records), METHOD_FIGURES, seed) for subset, chosen in subsets.items()}
        for name, records in of_method.items()
    }
    return {
        "format": FORMAT,
        "command": command,
        "made_from": outcome.header,
        "model": _model(outcome),
        "images": _images(outcome),
        "rules": {
            "smoothing_window": smoothing_window(outcome.bundle.description.image.height),
            "shares": SHARES,
            "bootstrap_draws": DRAWS,
            "interval": LEVEL,
            "figures": {figure.name: figure.definition for figure in (*METHOD_FIGURES, *IMAGE_FIGURES)},
        },
        "classifier": _classifier(outcome, seed),
        "verdicts": dict(sorted(Counter(record["verdict"] for record in of_image).items())) if judged else {},
        "explanations": {
            subset: _figures(filter(chosen, of_image), IMAGE_FIGURES, seed) for subset, chosen in subsets.items()
        },
        "coverage": coverage_curve(
            of_image, of_method, outcome.bundle.description.reliability.maximum_reconstruction_mse, seed
        ),
        "by_lesion_size": by_lesion_size(of_image, of_method, seed),
        "methods": {name: figures[name] for name in outcome.methods},
        "baselines": {name: figures[name] for name in BASELINES},
        "against_baselines": _against_baselines(outcome.methods, of_method, seed),
        "ranking": _ranking({name: figures[name][ALL] for name in outcome.methods}),
        "curves": {
            kind: {name: _mean([record["curves"][kind] for record in of_method[name]]) for name in of_method}
            for kind in ("deletion", "insertion")
        },
        "sanity": _sanity(outcome, of_method),
        "cost": {
            name: {"median_ms": 1000 * float(np.median([record["seconds"] for record in of_method[name]]))}
            for name in outcome.methods
        },
    }


def _model(outcome: Outcome) -> Report:
    description = outcome.bundle.description
    return {
        "name": description.name,
        "version": description.version,
        "bundle_sha256": outcome.bundle.sha256,
        "positive_class": description.classification.positive_class,
        "negative_class": description.classification.negative_class,
        "decision_threshold": description.classification.decision_threshold,
        "modality": description.image.modality,
        "size": description.image.height,
    }


def _images(outcome: Outcome) -> Report:
    chosen = set(outcome.explained)
    explained = [image for image in outcome.images if image.id in chosen]
    return {
        "split": outcome.header["split"],
        "images": len(outcome.images),
        "patients": _patients(outcome.images),
        "positive_images": sum(image.positive for image in outcome.images),
        "true_positives": outcome.available,
        "explained": len(explained),
        "explained_patients": _patients(explained),
        "explained_with_mask": sum(image.mask is not None for image in explained),
        "explained_ids": outcome.explained,
    }


def _patients(images: Sequence[EvaluatedImage]) -> int | None:
    """Number of patients; None where whose an image is, is not known of each."""
    known = all(image.patient_known for image in images)
    return len({image.patient for image in images}) if known else None


def _classifier(outcome: Outcome, seed: int) -> Report:
    """AUC on all images of the split and within each source of both classes; sensitivity, specificity, accuracy."""
    threshold = outcome.bundle.description.classification.decision_threshold
    labels = [image.positive for image in outcome.images]
    patients = [image.patient for image in outcome.images]
    correct = [float((score >= threshold) == positive) for score, positive in zip(outcome.scores, labels, strict=True)]

    def share(chosen: Iterable[int]) -> Report | None:
        rows = list(chosen)
        return mean_estimate([correct[i] for i in rows], [patients[i] for i in rows], seed).as_json() if rows else None

    def auc(chosen: Iterable[int]) -> Report | None:
        rows = list(chosen)
        if len({labels[i] for i in rows}) < 2:
            return None
        chosen_scores, chosen_labels = [outcome.scores[i] for i in rows], [labels[i] for i in rows]
        return auc_estimate(chosen_scores, chosen_labels, [patients[i] for i in rows], seed).as_json()

    every = range(len(labels))
    sources = sorted({image.source for image in outcome.images if image.source})
    within = {
        source: auc(i for i in every if outcome.images[i].source == source) for source in sources if len(sources) > 1
    }
    return {
        "auc": auc(every),
        "auc_within_source": {source: value for source, value in within.items() if value is not None},
        "accuracy": share(every),
        "sensitivity": share(i for i in every if labels[i]),
        "specificity": share(i for i in every if not labels[i]),
    }


def _figures(records: Iterable[Record], catalogue: Sequence[Figure], seed: int) -> Report:
    """Each figure over the images that have it."""
    return figure_estimates(records, (figure.name for figure in catalogue), seed)


def _against_baselines(methods: Sequence[str], of_method: Mapping[str, Sequence[Record]], seed: int) -> Report:
    """By how much each method beats the best baseline: the mean paired difference, positive where it is better.

    The best baseline is the one with the best mean on these very images, which is hard on the methods.
    """
    compared: Report = {name: {} for name in methods}
    for figure in METHOD_FIGURES:
        if figure.better is None:
            continue
        rivals = {
            name: _column(of_method[name], figure.name)
            for name in BASELINES
            if any(figure.name in record["figures"] for record in of_method[name])
        }
        if not rivals:
            continue
        sign = 1 if figure.better == "higher" else -1
        best = max(rivals, key=lambda name: sign * float(np.mean(list(rivals[name].values()))))
        for name in methods:
            own = _column(of_method[name], figure.name)
            gains = [sign * (value - rivals[best][image]) for image, value in own.items()]
            patients = [record["patient"] for record in of_method[name] if record["image"] in own]
            compared[name][figure.name] = {"baseline": best, **mean_estimate(gains, patients, seed).as_json()}
    return compared


def _column(records: Iterable[Record], figure: str) -> dict[str, float]:
    return {record["image"]: record["figures"][figure] for record in records if figure in record["figures"]}


def _ranking(figures: Mapping[str, Report]) -> Report:
    """Each method's rank by each ranked figure, 1 the best, equal ones sharing theirs; and the mean of its ranks."""
    ranks: dict[str, dict[str, float]] = {name: {} for name in figures}
    for figure in METHOD_FIGURES:
        values = {name: own[figure.name]["value"] for name, own in figures.items() if figure.name in own}
        if not figure.ranked:
            continue
        for name, value in values.items():
            better = sum((other > value) == (figure.better == "higher") and other != value for other in values.values())
            equal = sum(other == value for other in values.values())
            ranks[name][figure.name] = 1 + better + (equal - 1) / 2
    means = {name: float(np.mean(list(own.values()))) for name, own in ranks.items()}
    return {name: {"mean": means[name], **ranks[name]} for name in sorted(means, key=lambda name: means[name])}


def _sanity(outcome: Outcome, of_method: Mapping[str, Sequence[Record]]) -> Report | None:
    """The mean similarity of each method at each stage of the cascade."""
    if not outcome.stages:
        return None
    curves = {
        name: _mean([record["sanity"] for record in of_method[name] if record["sanity"]]) for name in outcome.methods
    }
    return {
        "layers": outcome.layers,
        "stages": [{"layers_random": stage.count, "down_to": stage.lowest} for stage in outcome.stages],
        "images": sum(bool(record["sanity"]) for record in of_method[outcome.methods[0]]),
        "similarity": curves,
    }


def _mean(curves: Sequence[Sequence[float]]) -> list[float]:
    mean: list[float] = np.mean(curves, axis=0).tolist()
    return mean
