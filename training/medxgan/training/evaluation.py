"""Figures of a run: measured on the test split; thresholds of the verdict from images that it does not hold."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from google.protobuf import json_format
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision
from torchmetrics.image import StructuralSimilarityIndexMeasure

from medxgan.training.configuration import TrainingConfig
from medxgan.training.data.errors import DataError
from medxgan.training.data.samples import DataSplit, LabelledImages
from medxgan.training.dataset import Tensors, preprocess_images
from medxgan.training.focus import classifier_focus
from medxgan.training.inversion import encoded_start, invert, published_start
from medxgan.training.networks import Encoder, ExplainedClassifier, Generator
from medxgan.training.networks.classifier import probability
from medxgan.training.preprocessing import Aspect, Preprocess
from medxgan.training.runs import Run, build_preprocess
from medxgan.training.trap import shared_place
from medxgan.v1.bundle_pb2 import Metric, Reliability

CALIBRATION_IMAGES = 200
CALIBRATION_QUANTILE = 0.95
DISENTANGLEMENT_ANATOMIES = 1000
DISENTANGLEMENT_PATHOLOGIES = 3


@dataclass(frozen=True)
class Evaluation:
    """What was measured; without a generator nothing is reconstructed, and there is no reliability."""

    metrics: tuple[Metric, ...]
    reliability: Reliability | None


@dataclass(frozen=True)
class Scored:
    """Preprocessed images, and the probability [N] that C gives each."""

    images: Tensors
    score: Tensor


@dataclass(frozen=True)
class Explained:
    """Images with what the inversion found for them: [N, 1, S, S] each, in [-1, 1].

    Attributes:
        x: the images, each called positive by C.
        reconstruction: G(z1, z2).
        negative: G(z1, 0).
        reconstruction_score: [N] probability that C gives the reconstruction.
        negative_score: [N] probability that C gives the negative realization.
    """

    x: Tensor
    reconstruction: Tensor
    negative: Tensor
    reconstruction_score: Tensor
    negative_score: Tensor


def evaluate(run_folder: Path, data_root: Path) -> Evaluation:
    """Measure a run and write `evaluation.json` into its folder.

    A run with a classifier alone is measured for its AUC.

    Args:
        run_folder: a run with a trained classifier, and a generator if it has got that far.
        data_root: folder that relative paths of the `data` section start from.

    Raises:
        RunError: there is no run, or no trained classifier.
        DataError: the data can't be read, or the classifier finds no positive image in them.
    """
    run = Run.open(run_folder)
    split = run.configuration.data.load(data_root)
    preprocess, classifier = build_preprocess(run.configuration), run.classifier()
    test = _score(classifier, preprocess_images(preprocess, split.test))
    metrics = classifier_aucs(test, split.test.sources)
    reliability = None
    if run.has("generator"):
        of_generator, reliability = _evaluate_generator(run, classifier, split, test)
        metrics += of_generator
    evaluation = Evaluation(tuple(metrics), reliability)
    content: dict[str, Any] = {
        "metrics": [json_format.MessageToDict(metric, preserving_proto_field_name=True) for metric in metrics]
    }
    if reliability is not None:
        content["reliability"] = json_format.MessageToDict(reliability, preserving_proto_field_name=True)
    (run_folder / "evaluation.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return evaluation


def _evaluate_generator(
    run: Run, classifier: ExplainedClassifier, split: DataSplit, test: Scored
) -> tuple[list[Metric], Reliability]:
    configuration = run.configuration
    generator, encoder = run.generator()
    threshold = configuration.classes.decision_threshold

    def explain(x: Tensor) -> Explained:
        return _explain(configuration, generator, classifier, encoder, x)

    positive = true_positives(test, threshold)
    if not positive.any():
        raise DataError("test split: expected true positives to explain, found none")
    known, part = _to_calibrate_on(configuration, classifier, split)
    explained = explain(test.images.x[positive])
    reliability = calibrate(explain(known), part)
    metrics = [
        disentanglement(generator, classifier, threshold, configuration.seed),
        *reconstruction_metrics(explained),
        *classifier_metrics(explained, threshold),
        reliable_share(explained, threshold, reliability),
        *place_metrics(classifier, explained, threshold),
    ]
    if split.test.masks is not None:
        masks = resize_masks(configuration, split.test)[positive]
        metrics += localisation_metrics(explained, masks)
    return metrics, reliability


def _score(classifier: ExplainedClassifier, images: Tensors) -> Scored:
    return Scored(images, probability(classifier, images.x))


def true_positives(scored: Scored, threshold: float) -> Tensor:
    """[N] True where an image is positive and C says so."""
    return (scored.images.label > 0) & (scored.score >= threshold)


def _to_calibrate_on(
    configuration: TrainingConfig, classifier: ExplainedClassifier, split: DataSplit
) -> tuple[Tensor, str]:
    """True positives [N, 1, S, S], N at most 200, and the name of the split that they are of.

    The calibration split where the data has one: images that were trained on are reconstructed better than new ones, so
    that a threshold from them is too strict for new ones.
    """
    part, name = (split.train, "training") if split.calibration is None else (split.calibration, "calibration")
    scored = _score(classifier, preprocess_images(build_preprocess(configuration), part))
    known = true_positives(scored, configuration.classes.decision_threshold).nonzero()[:CALIBRATION_IMAGES, 0]
    if not len(known):
        raise DataError(f"{name} split: expected true positives to set the verdict's threshold on, found none")
    return scored.images.x[known], name


def _explain(
    configuration: TrainingConfig,
    generator: Generator,
    classifier: ExplainedClassifier,
    encoder: Encoder | None,
    x: Tensor,
) -> Explained:
    settings = configuration.inversion
    random = torch.Generator().manual_seed(configuration.seed)
    reconstructions, negatives = [], []
    for rows in torch.split(x, 64):
        start = encoded_start(encoder, rows) if encoder else published_start(generator, len(rows), random)
        result = invert(
            generator,
            classifier,
            rows,
            start,
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            reconstruction_weight=settings.reconstruction_weight,
            betas=(settings.beta1, settings.beta2),
            epsilon=settings.epsilon,
        )
        with torch.no_grad():
            reconstructions.append(generator(result.z))
            negatives.append(generator.negative(result.z))
    reconstruction, negative = torch.cat(reconstructions), torch.cat(negatives)
    scores = probability(classifier, reconstruction), probability(classifier, negative)
    return Explained(x, reconstruction, negative, *scores)


def classifier_aucs(test: Scored, sources: tuple[str, ...]) -> list[Metric]:
    """Area under the ROC curve on all test images, and within each source that has both classes.

    Where label and source go together the figure on all images also rewards telling the sources apart; the one within
    a source does not.
    """
    score, label = test.score, test.images.label
    metrics = [_auc("classifier_auc", score, label, "test split, {} images of patients not trained on")]
    for source in sorted(set(sources)):
        rows = torch.tensor([each == source for each in sources])
        if source and not rows.all() and len(torch.unique(label[rows])) == 2:
            where = f"test split, {{}} images of the source {source!r} alone"
            metrics.append(_auc(f"classifier_auc_within_{source}", score[rows], label[rows], where))
    return metrics


def _auc(name: str, score: Tensor, label: Tensor, where: str) -> Metric:
    return Metric(
        name=name,
        value=binary_auroc(score, label.long()).item(),
        measured_on=where.format(len(score)),
        description="Area under the classifier's ROC curve; 0.5 is chance.",
    )


@torch.no_grad()
def disentanglement(generator: Generator, classifier: ExplainedClassifier, threshold: float, seed: int) -> Metric:
    """Share of samples that C calls what their z2 says: 1000 z1, each with z2 = 0 and three z2 ~ N(0, I).

    Source: the authors' measure (Dravid et al., medXGAN, CVPR-W 2022, section 4).
    """
    random = torch.Generator().manual_seed(seed)
    agreed = []
    for count in (DISENTANGLEMENT_ANATOMIES // 10,) * 10:
        z1 = torch.randn(count, generator.z1_size, generator=random)
        healthy = torch.cat([z1, torch.zeros(count, generator.z2_size)], 1)
        agreed.append(probability(classifier, generator(healthy)) < threshold)
        for _ in range(DISENTANGLEMENT_PATHOLOGIES):
            z2 = torch.randn(count, generator.z2_size, generator=random)
            agreed.append(probability(classifier, generator(torch.cat([z1, z2], 1))) >= threshold)
    return Metric(
        name="disentanglement",
        value=torch.cat(agreed).float().mean().item(),
        measured_on="1000 sampled anatomies, each negative once and positive three times",
        description="Share of sampled pictures that the classifier calls what their pathology code says.",
    )


def reconstruction_metrics(explained: Explained) -> list[Metric]:
    """Mean squared error in [-1, 1] units, PSNR in dB and SSIM of the reconstructions, averaged over images."""
    error = _mean_squared_errors(explained)
    psnr = 10 * torch.log10(4 / error)
    # From 0 upwards: the similarity compares means by their product, which grey levels around 0 would turn over.
    ssim = StructuralSimilarityIndexMeasure(data_range=2.0)(explained.reconstruction + 1, explained.x + 1)
    where = _where(explained)
    return [
        Metric(name="reconstruction_mse", value=error.mean().item(), measured_on=where,
               description="Mean squared error between image and reconstruction, grey levels in [-1, 1]."),
        Metric(name="reconstruction_psnr_db", value=psnr.mean().item(), measured_on=where,
               description="Peak signal-to-noise ratio of the reconstruction, in dB."),
        Metric(name="reconstruction_ssim", value=ssim.item(), measured_on=where,
               description="Structural similarity of image and reconstruction; 1 is the same."),
    ]  # fmt: skip


def classifier_metrics(explained: Explained, threshold: float) -> list[Metric]:
    """Whether C agrees on the reconstruction, and whether it calls the negative realization negative."""
    agrees = explained.reconstruction_score >= threshold
    flipped = explained.negative_score < threshold
    change = (explained.reconstruction - explained.negative).abs().mean()
    where = _where(explained)
    return [
        Metric(name="reconstruction_called_positive", value=agrees.float().mean().item(), measured_on=where,
               description="Share of reconstructions that the classifier calls positive, as it does the image."),
        Metric(name="negative_called_negative", value=flipped.float().mean().item(), measured_on=where,
               description="Share of negative realizations that the classifier calls negative. Alone it proves little: "
               "a picture can fool a classifier."),
        Metric(name="mean_absolute_difference", value=change.item(), measured_on=where,
               description="Mean absolute difference between reconstruction and negative realization: size of change."),
    ]  # fmt: skip


def reliable_share(explained: Explained, threshold: float, reliability: Reliability) -> Metric:
    """Share of explanations that pass every check of the server's verdict."""
    near = _mean_squared_errors(explained) <= reliability.maximum_reconstruction_mse
    agrees = explained.reconstruction_score >= threshold
    flipped = explained.negative_score < threshold
    return Metric(
        name="reliable_share",
        value=(near & agrees & flipped).float().mean().item(),
        measured_on=_where(explained),
        description="Share of explanations with the verdict RELIABLE.",
    )


def place_metrics(classifier: ExplainedClassifier, explained: Explained, threshold: float) -> list[Metric]:
    """How far the differences lie in one place, and where C looks does: see `medxgan.training.trap`."""
    if len(explained.x) < 2:
        return []
    _, focus = classifier_focus(classifier, explained.x, threshold)
    difference = (explained.reconstruction - explained.negative).abs()
    where = _where(explained)
    return [
        Metric(name="place_of_difference", value=shared_place(difference), measured_on=where,
               description="Mean correlation of the difference maps of different images; near 1, they show the same "
               "place whoever the patient is: a generator that fools the classifier."),
        Metric(name="place_of_focus", value=shared_place(focus), measured_on=where,
               description="The same of where the classifier looks, for comparison."),
    ]  # fmt: skip


def resize_masks(configuration: TrainingConfig, images: LabelledImages) -> Tensor:
    """[N, 1, S, S] True where at least half of a pixel of x lies on the mask; the images' masks must be there."""
    if images.masks is None:
        raise ValueError("images.masks: expected masks")
    return lesion_masks(images.masks, configuration.image.size, configuration.image.aspect)


def lesion_masks(masks: NDArray[np.bool_], size: int, aspect: Aspect) -> Tensor:
    """[N, 1, S, S] True where at least half of a pixel of x lies on the mask, for masks [N, H, W] and S = `size`."""
    geometry = Preprocess(size, 0, 100, aspect)
    rows = [geometry(torch.from_numpy(mask).float()[None, None], torch.zeros(1)) for mask in masks]
    return torch.cat(rows) > 0


def localisation_metrics(explained: Explained, masks: Tensor) -> list[Metric]:
    """Average precision of maps against lesion masks, by pixel, over the images whose mask is not empty."""
    chosen = masks.flatten(1).any(1)
    masks, x = masks[chosen], explained.x[chosen]
    difference = F.avg_pool2d((explained.reconstruction - explained.negative)[chosen].abs(), 5, 1, 2)
    where = f"test split, {len(x)} true positives with a lesion mask"
    maps = {
        "difference_average_precision": (difference, "of the smoothed absolute difference map"),
        "intensity_average_precision": (x + 1, "of plain image intensity, a baseline"),
    }
    chance = masks.float().mean().item()
    return [
        *(
            Metric(name=name, value=_average_precision(values, masks), measured_on=where,
                   description=f"Average precision {what} against the lesion mask.")
            for name, (values, what) in maps.items()
        ),
        Metric(name="chance_average_precision", value=chance, measured_on=where,
               description="Average precision of a random map: the lesions' share of the image."),
    ]  # fmt: skip


def calibrate(explained: Explained, split: str) -> Reliability:
    """The reconstruction error that all but the worst twentieth of these true positives stay under.

    Args:
        explained: N >= 1 true positives.
        split: name of the split that they are of.
    """
    errors = _mean_squared_errors(explained)
    return Reliability(
        maximum_reconstruction_mse=errors.quantile(CALIBRATION_QUANTILE).item(),
        method=f"{CALIBRATION_QUANTILE:.0%} quantile over {len(errors)} true positives of the {split} split",
    )


def _mean_squared_errors(explained: Explained) -> Tensor:
    return ((explained.reconstruction - explained.x) ** 2).mean((1, 2, 3))


def _average_precision(values: Tensor, masks: Tensor) -> float:
    scores = [
        binary_average_precision(value.flatten() / value.max().clamp_min(1e-8), mask.flatten().long())
        for value, mask in zip(values, masks, strict=True)
    ]
    return torch.stack(scores).mean().item()


def _where(explained: Explained) -> str:
    return f"test split, {len(explained.x)} true positives of patients not trained on"
