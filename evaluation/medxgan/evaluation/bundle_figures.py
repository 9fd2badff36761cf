"""What a bundle states of itself: every figure and threshold, measured as the bundle is served.

Thresholds come from the calibration patients, figures from the test patients; see `bundle.proto`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from medxgan.evaluation.cohort import SEEN, UNSEEN, Cohort, Explained, explain_cohort, open_cohort
from medxgan.evaluation.coverage import coverage_curve
from medxgan.evaluation.errors import ImagesError
from medxgan.evaluation.images import Split
from medxgan.evaluation.metrics.localisation import average_precision, pointing_game
from medxgan.evaluation.saliency import BASELINES, saliency
from medxgan.evaluation.statistics import auc, random_for
from medxgan.evaluation.thresholds import measure_familiarity, set_reliability
from medxgan.server.explanation.scores import Score
from medxgan.server.models.served_model import ServedModel
from medxgan.training.data.samples import DataSplit
from medxgan.training.focus import saturated
from medxgan.training.trap import shared_place
from medxgan.v1 import explanation_pb2
from medxgan.v1.bundle_pb2 import Bundle, CoveragePoint, Metric

CALIBRATION_IMAGES = 200
"""Most true positives that the verdict's threshold is set on."""

ANATOMIES, PATHOLOGIES = 1000, 3
"""Sampled anatomies, if nothing is said, and pathologies sampled with each of them."""

PICTURE_METRICS = (
    ("reconstruction_mse", "reconstruction_mse",
     "Mean squared error between image and reconstruction, grey levels in [-1, 1]."),
    ("reconstruction_psnr_db", "reconstruction_psnr_db", "Peak signal-to-noise ratio of the reconstruction, in dB."),
    ("reconstruction_ssim", "reconstruction_ssim",
     "Structural similarity of image and reconstruction; 1 is the same."),
    ("reconstruction_called_positive", "classifier_agrees",
     "Share of reconstructions that the classifier calls positive, as it does the image."),
    ("negative_called_negative", "label_flips",
     "Share of negative realizations that the classifier calls negative. Alone it proves little: a picture can fool a "
     "classifier."),
    ("applied_negative_called_negative", "applied_label_flips",
     "Share of applied negatives that the classifier calls negative: of the images themselves, less the difference "
     "shown. It tests the difference map, whatever detail the generator can't draw."),
    ("mean_absolute_difference", "change_l1",
     "Mean absolute difference between reconstruction and negative realization: size of change."),
)  # fmt: skip
"""Metrics that are means over images: name, figure of the image, and meaning."""

MAPS = {
    "difference": "the difference map's magnitude",
    "residual": "the residual map's magnitude",
    "intensity": "plain image intensity",
}
"""Maps that are held against lesion masks."""

Localised = Mapping[str, list[dict[str, float]]]
"""Average precision and pointing of each image that has a lesion mask, else nothing, by name of the map."""


async def measure_bundle(model: ServedModel, data: DataSplit, anatomies: int) -> Bundle:
    """Measure a bundle: its `metrics`, and where it has them its `familiarity` and `reliability`.

    Args:
        model: the bundle, served. Its threshold on the reconstruction's error is not looked at.
        data: that it was trained on a part of.
        anatomies: that are sampled for `disentanglement`.

    Raises:
        ImagesError: there is no image to measure on, or the classifier finds no positive one; or the test split has one
            class and the bundle no generator, so that there is nothing to measure.
    """
    description = Bundle()
    description.CopyFrom(model.bundle.description)
    test = await open_cohort(model, data, "test")
    if not (test.has_both_classes or model.bundle.has_generator):
        raise ImagesError("test split: expected images of both classes, found one: a classifier's AUC needs both")
    measured = Bundle(metrics=classifier_aucs(test))
    if description.HasField("familiarity"):
        measure_familiarity(description, test)
        measured.familiarity.CopyFrom(description.familiarity)
    if model.bundle.has_generator:
        calibration, whose = await _calibration(model, data)
        set_reliability(description, await _explained(model, calibration, whose, CALIBRATION_IMAGES))
        explained = (await _explained(model, test, UNSEEN)).judged_by(description)
        localised = localise(explained)
        description.reliability.curve.extend(
            curve_points(explained, localised, description.reliability.maximum_reconstruction_mse)
        )
        measured.reliability.CopyFrom(description.reliability)
        measured.metrics.append(await disentanglement(model, anatomies))
        measured.metrics.extend(explanation_metrics(explained, localised))
    return measured


async def split_metrics(model: ServedModel, data: DataSplit, split: Split) -> list[Metric]:
    """The metrics of explanations alone, on any split, with the bundle's own thresholds: for comparing trainings."""
    explained = await _explained(model, await open_cohort(model, data, split), UNSEEN)
    return explanation_metrics(explained, localise(explained))


async def _calibration(model: ServedModel, data: DataSplit) -> tuple[Cohort, str]:
    """The calibration split, where the data have one, else the training split; and whose images they are.

    Images that were trained on are reconstructed better than new ones, so that a threshold from them is too strict for
    new ones.
    """
    whose = SEEN if data.calibration is None else UNSEEN
    return await open_cohort(model, data, "training" if whose == SEEN else "calibration", whose), whose


async def _explained(model: ServedModel, cohort: Cohort, whose: str, most: int | None = None) -> Explained:
    """The cohort's true positives, explained: the first of them alone where `most` says so, for that takes its time."""
    found = cohort.true_positives(whose)
    if not len(found):
        raise ImagesError(f"{cohort.split} split: expected true positives to explain, found none")
    return await explain_cohort(model, found.select(np.arange(len(found)) < (most or len(found)), found.part))


def classifier_aucs(test: Cohort) -> list[Metric]:
    """Area under the ROC curve on all test images, and within each source that has both classes; none of one class.

    Where label and source go together the figure on all images also rewards telling the sources apart; the one within
    a source does not.
    """
    if not test.has_both_classes:
        return []
    metrics = [_auc("classifier_auc", test)]
    for source in sorted({image.source for image in test.images}):
        within = test.select(
            [image.source == source for image in test.images], f"images of the source {source!r} alone"
        )
        if source and len(within) < len(test) and within.has_both_classes:
            metrics.append(_auc(f"classifier_auc_within_{source}", within))
    return metrics


def _auc(name: str, cohort: Cohort) -> Metric:
    scores = [opened.score.probability for opened in cohort.opened]
    value = auc(scores, [image.positive for image in cohort.images])
    return cohort.metric(name, value, "Area under the classifier's ROC curve; 0.5 is chance.")


async def disentanglement(model: ServedModel, anatomies: int) -> Metric:
    """Share of samples that C calls what their z2 says: so many z1, each with z2 = 0 and three z2 ~ N(0, I).

    Source: the authors' measure (Dravid et al., medXGAN, CVPR-W 2022, section 4).
    """
    description = model.bundle.description
    random = random_for(description.provenance.seed, "disentanglement")
    z1 = random.standard_normal((anatomies, description.latent.z1_size), np.float32)
    z2 = random.standard_normal((1 + PATHOLOGIES, anatomies, description.latent.z2_size), np.float32)
    z2[0] = 0
    codes = np.concatenate([np.tile(z1, (1 + PATHOLOGIES, 1)), z2.reshape(-1, z2.shape[-1])], axis=1)
    _, logits = await model.networks.draw(codes)
    threshold = description.classification.decision_threshold
    positive = np.array([Score.of(float(logit), threshold).positive for logit in logits])
    return Metric(
        name="disentanglement",
        value=float((positive == (np.arange(len(codes)) >= anatomies)).mean()),
        measured_on=f"{anatomies} sampled anatomies, each negative once and positive three times",
        description="Share of sampled pictures that the classifier calls what their pathology code says.",
    )


def explanation_metrics(explained: Explained, localised: Localised) -> list[Metric]:
    """Every metric of explanations, in the order of the card."""
    figures = {**explained.figures, "classifier_agrees": 1 - explained.figures["classifier_disagrees"]}
    metric = explained.cohort.metric
    return [
        *(metric(name, float(figures[figure].mean()), meaning) for name, figure, meaning in PICTURE_METRICS),
        *_reliable_metrics(explained),
        *_place_metrics(explained),
        *_localisation_metrics(explained, localised),
    ]


def localise(explained: Explained) -> Localised:
    """Figures of each map against each image's lesion mask, by name of the map; none for an image without one."""
    localised: dict[str, list[dict[str, float]]] = {name: [] for name in MAPS}
    for image, explanation in zip(explained.cohort.images, explained.explanations, strict=True):
        x = explanation.opened.x[0, 0]
        maps = {
            "difference": explanation.maps[explanation_pb2.MAP_KIND_DIFFERENCE].values,
            "residual": explanation.maps[explanation_pb2.MAP_KIND_RESIDUAL].values,
            "intensity": BASELINES["intensity"](x, random_for(0)),
        }
        for name, values in maps.items():
            salience = saliency(values)
            localised[name].append(
                {}
                if image.mask is None
                else {
                    "average_precision": average_precision(salience, image.mask),
                    "pointing_game": pointing_game(salience, image.mask),
                }
            )
    return localised


def curve_points(explained: Explained, localised: Localised, maximum_mse: float) -> list[CoveragePoint]:
    """What holds of the best-reconstructed tenth of the explanations, of the best two tenths, up to all of them."""
    images, figures = explained.cohort.images, explained.figures
    about = [{"image": image.id, "patient": image.patient} for image in images]
    of_image = [
        {**each, "figures": {name: float(values[row]) for name, values in figures.items()}}
        for row, each in enumerate(about)
    ]
    of_map = {
        name: [{**each, "figures": own} for each, own in zip(about, rows, strict=True)]
        for name, rows in localised.items()
    }
    curve = coverage_curve(of_image, of_map, maximum_mse, seed=0)
    return [] if curve is None else [_curve_point(point) for point in curve["points"]]


def _curve_point(point: Mapping[str, Any]) -> CoveragePoint:
    residual = point["maps"].get("residual")
    return CoveragePoint(
        coverage=point["coverage"],
        images=point["images"],
        maximum_reconstruction_mse=point["largest_mse"],
        negative_called_negative=point["label_flips"]["value"],
        applied_negative_called_negative=point["applied_label_flips"]["value"],
        residual_average_precision=residual and residual["average_precision"]["value"],
        residual_pointing=residual and residual["pointing_game"]["value"],
    )


def _reliable_metrics(explained: Explained) -> list[Metric]:
    """How many explanations are RELIABLE, and how many of these keep the promise; the second where there are any."""
    reliable = explained.reliable
    metrics = [
        explained.cohort.metric(
            "reliable_share", float(reliable.mean()), "Share of explanations with the verdict RELIABLE."
        )
    ]
    if reliable.any():
        kept = explained.cohort.select(reliable, "true positives whose explanation has the verdict RELIABLE")
        metrics.append(
            kept.metric(
                "reliable_applied_negative_called_negative",
                float(explained.figures["applied_label_flips"][reliable].mean()),
                "Share of the RELIABLE explanations that keep the verdict's promise: the classifier calls the image "
                "less the difference shown negative.",
            )
        )
    marked = reliable & explained.marked
    if marked.any():
        kept = explained.cohort.select(marked, "true positives with a lesion mask and the verdict RELIABLE")
        metrics.append(
            kept.metric(
                "reliable_difference_pointing",
                float(explained.points_at_lesion[marked].mean()),
                "Share of the RELIABLE explanations whose difference map is strongest on the lesion.",
            )
        )
    return metrics


def _place_metrics(explained: Explained) -> list[Metric]:
    """How far the differences lie in one place, and where C looks does: see `medxgan.training.trap`."""
    if len(explained.cohort) < 2:
        return []
    differences = torch.from_numpy(np.stack([found.difference for found in explained.inverted]))[:, None].abs()
    looked_at = [each.maps[explanation_pb2.MAP_KIND_INTEGRATED_GRADIENTS].values for each in explained.explanations]
    focus = saturated(torch.from_numpy(np.stack(looked_at))[:, None])
    metric = explained.cohort.metric
    return [
        metric("place_of_difference", shared_place(differences),
               "Mean correlation of the difference maps of different images; near 1, they show the same "
               "place whoever the patient is: a generator that fools the classifier."),
        metric("place_of_focus", shared_place(focus),
               "The same of where the classifier looks, for comparison."),
    ]  # fmt: skip


def _localisation_metrics(explained: Explained, localised: Localised) -> list[Metric]:
    """Average precision and pointing of every map, averaged over images, and what a random map would reach."""
    masks = [image.mask for image in explained.cohort.images]
    if all(mask is None for mask in masks):
        return []
    metric = explained.cohort.select([mask is not None for mask in masks], "true positives with a lesion mask").metric

    def mean(name: str, figure: str) -> float:
        return float(np.mean([row[figure] for row in localised[name] if row]))

    return [
        *(
            metric(f"{name}_average_precision", mean(name, "average_precision"),
                   f"Average precision of {what} against the lesion mask, by pixel.")
            for name, what in MAPS.items()
        ),
        metric("chance_average_precision", float(np.mean([mask.mean() for mask in masks if mask is not None])),
               "Average precision, and pointing, of a random map: the lesions' share of the image."),
        *(
            metric(f"{name}_pointing", mean(name, "pointing_game"),
                   f"Share of images in which the strongest pixel of {what} lies on the lesion.")
            for name, what in MAPS.items()
        ),
    ]  # fmt: skip
