"""Figures of a run: measured on the test split; thresholds of the verdict from the training split alone."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from google.protobuf import json_format
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision
from torchmetrics.image import StructuralSimilarityIndexMeasure

from medxgan.training.configuration import TrainingConfig
from medxgan.training.data.samples import LabelledImages
from medxgan.training.dataset import Tensors, preprocess_images
from medxgan.training.inversion import encoded_start, invert, published_start
from medxgan.training.networks import Classifier, Encoder, Generator
from medxgan.training.networks.classifier import probability
from medxgan.training.preprocessing import Preprocess
from medxgan.training.runs import Run, build_preprocess
from medxgan.v1.bundle_pb2 import Metric, Reliability

CALIBRATION_IMAGES = 200
CALIBRATION_QUANTILE = 0.95
DISENTANGLEMENT_ANATOMIES = 1000
DISENTANGLEMENT_PATHOLOGIES = 3


@dataclass(frozen=True)
class Evaluation:
    """What was measured."""

    metrics: tuple[Metric, ...]
    reliability: Reliability


@dataclass(frozen=True)
class Explained:
    """Images with what the inversion found for them: [N, 1, S, S] each, in [-1, 1]."""

    x: Tensor
    reconstruction: Tensor
    negative: Tensor


def evaluate(run_folder: Path, data_root: Path) -> Evaluation:
    """Measure a run and write `evaluation.json` into its folder.

    Args:
        run_folder: a run with a trained classifier and generator.
        data_root: folder that relative paths of the `data` section start from.
    """
    run = Run.open(run_folder)
    configuration = run.configuration
    classifier, (generator, encoder) = run.classifier(), run.generator()
    split = configuration.data.load(data_root)
    preprocess = build_preprocess(configuration)
    train, test = preprocess_images(preprocess, split.train), preprocess_images(preprocess, split.test)
    threshold = configuration.classes.decision_threshold

    def explain(x: Tensor) -> Explained:
        return _explain(configuration, generator, classifier, encoder, x)

    positive = true_positives(classifier, test, threshold)
    explained = explain(test.x[positive])
    known = true_positives(classifier, train, threshold).nonzero()[:CALIBRATION_IMAGES, 0]
    reliability = calibrate(explain(train.x[known]))
    metrics = [
        *classifier_aucs(classifier, test, split.test.sources),
        disentanglement(generator, classifier, threshold, configuration.seed),
        *reconstruction_metrics(explained),
        *classifier_metrics(classifier, explained, threshold),
        reliable_share(classifier, explained, threshold, reliability),
    ]
    if split.test.masks is not None:
        masks = resize_masks(configuration, split.test)[positive]
        metrics += localisation_metrics(explained, masks)
    evaluation = Evaluation(tuple(metrics), reliability)
    content = {
        "metrics": [json_format.MessageToDict(metric, preserving_proto_field_name=True) for metric in metrics],
        "reliability": json_format.MessageToDict(reliability, preserving_proto_field_name=True),
    }
    (run_folder / "evaluation.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return evaluation


def true_positives(classifier: Classifier, images: Tensors, threshold: float) -> Tensor:
    """[N] True where an image is positive and C says so."""
    return (images.label > 0) & (probability(classifier, images.x) >= threshold)


def _explain(
    configuration: TrainingConfig, generator: Generator, classifier: Classifier, encoder: Encoder | None, x: Tensor
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
    return Explained(x, torch.cat(reconstructions), torch.cat(negatives))


def classifier_aucs(classifier: Classifier, test: Tensors, sources: tuple[str, ...]) -> list[Metric]:
    """Area under the ROC curve on all test images, and within each source that has both classes.

    Where label and source go together the figure on all images also rewards telling the sources apart; the one within
    a source does not.
    """
    score = probability(classifier, test.x)
    metrics = [_auc("classifier_auc", score, test.label, "test split, {} images of patients not trained on")]
    for source in sorted(set(sources)):
        rows = torch.tensor([each == source for each in sources])
        if source and not rows.all() and len(torch.unique(test.label[rows])) == 2:
            where = f"test split, {{}} images of the source {source!r} alone"
            metrics.append(_auc(f"classifier_auc_within_{source}", score[rows], test.label[rows], where))
    return metrics


def _auc(name: str, score: Tensor, label: Tensor, where: str) -> Metric:
    return Metric(
        name=name,
        value=binary_auroc(score, label.long()).item(),
        measured_on=where.format(len(score)),
        description="Area under the classifier's ROC curve; 0.5 is chance.",
    )


@torch.no_grad()
def disentanglement(generator: Generator, classifier: Classifier, threshold: float, seed: int) -> Metric:
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
    ssim = StructuralSimilarityIndexMeasure(data_range=2.0)(explained.reconstruction, explained.x)
    where = _where(explained)
    return [
        Metric(name="reconstruction_mse", value=error.mean().item(), measured_on=where,
               description="Mean squared error between image and reconstruction, grey levels in [-1, 1]."),
        Metric(name="reconstruction_psnr_db", value=psnr.mean().item(), measured_on=where,
               description="Peak signal-to-noise ratio of the reconstruction, in dB."),
        Metric(name="reconstruction_ssim", value=ssim.item(), measured_on=where,
               description="Structural similarity of image and reconstruction; 1 is the same."),
    ]  # fmt: skip


def classifier_metrics(classifier: Classifier, explained: Explained, threshold: float) -> list[Metric]:
    """Whether C agrees on the reconstruction, and whether it calls the negative realization negative."""
    agrees = probability(classifier, explained.reconstruction) >= threshold
    flipped = probability(classifier, explained.negative) < threshold
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


def reliable_share(classifier: Classifier, explained: Explained, threshold: float, reliability: Reliability) -> Metric:
    """Share of explanations that pass every check of the server's verdict."""
    near = _mean_squared_errors(explained) <= reliability.maximum_reconstruction_mse
    agrees = probability(classifier, explained.reconstruction) >= threshold
    flipped = probability(classifier, explained.negative) < threshold
    return Metric(
        name="reliable_share",
        value=(near & agrees & flipped).float().mean().item(),
        measured_on=_where(explained),
        description="Share of explanations with the verdict RELIABLE.",
    )


def resize_masks(configuration: TrainingConfig, images: LabelledImages) -> Tensor:
    """[N, 1, S, S] True where at least half of a pixel of x lies on the mask; the images' masks must be there."""
    if images.masks is None:
        raise ValueError("images.masks: expected masks")
    geometry = Preprocess(configuration.image.size, 0, 100, configuration.image.aspect)
    rows = [geometry(torch.from_numpy(mask).float()[None, None], torch.zeros(1)) for mask in images.masks]
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


def calibrate(explained: Explained) -> Reliability:
    """The reconstruction error that all but the worst twentieth of training true positives stay under."""
    errors = _mean_squared_errors(explained)
    return Reliability(
        maximum_reconstruction_mse=errors.quantile(CALIBRATION_QUANTILE).item(),
        method=f"{CALIBRATION_QUANTILE:.0%} quantile over {len(errors)} true positives of the training split",
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
