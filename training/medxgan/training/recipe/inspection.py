"""What a classifier takes, and what becomes of its decisions when it is shown smaller pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from medxgan.training.configuration import ExternalClassifierConfig
from medxgan.training.data.samples import LabelledImages
from medxgan.training.dataset import preprocess_images
from medxgan.training.discrimination import area_under_curve
from medxgan.training.load_classifier import ClassifierSourceError, load_external_classifier
from medxgan.training.networks import ExternalClassifier
from medxgan.training.networks.classifier import probability
from medxgan.training.preprocessing import Preprocess
from medxgan.training.recipe.budget import RecipeError

USUAL_SIZES = (28, 32, 48, 64, 96, 112, 128, 160, 192, 224, 240, 256, 299, 320, 384, 448, 512)
"""Sides that a network is tried with which does not say what it takes."""


@dataclass(frozen=True)
class Decisions:
    """What the classifier says of the calibration images, at its own size and at that of the model.

    Attributes:
        images: how many.
        agreement: share of them with the same decision at both sizes.
        own_auc: area under the ROC curve at its own size; None where one label is missing.
        auc: the same at the size of the model, which is what is explained.
        positives: how many it calls positive at the size of the model.
    """

    images: int
    agreement: float
    own_auc: float | None
    auc: float | None
    positives: int


def picture_size(configuration: ExternalClassifierConfig, positive: str, preferred: int) -> int | None:
    """Side of the pictures that the classifier takes; None where it takes the preferred one and others.

    Args:
        configuration: with absolute paths.
        positive: name of the positive class.
        preferred: side in pixels.

    Raises:
        RecipeError: it takes none of the usual sizes; the message is that of the preferred one.
    """
    if configuration.size is not None:
        return configuration.size
    if configuration.from_onnx and (stated := _stated_size(configuration)):
        return stated
    reason = _refusal(configuration, positive, preferred)
    if reason is None:
        others = [_refusal(configuration, positive, size) for size in (preferred // 2, 2 * preferred)]
        return None if None in others else preferred
    # What is wrong at every size is not tried again.
    if "does not take" in reason:
        for size in sorted(USUAL_SIZES, key=lambda size: abs(size - preferred)):
            if _refusal(configuration, positive, size) is None:
                return size
    raise RecipeError(reason)


def _refusal(configuration: ExternalClassifierConfig, positive: str, size: int) -> str | None:
    """Why the classifier does not take pictures of this size; None where it does."""
    try:
        load_external_classifier(configuration, size, positive)
    except ClassifierSourceError as error:
        return str(error)
    return None


def _stated_size(configuration: ExternalClassifierConfig) -> int | None:
    """The side that an ONNX file states."""
    try:
        from medxgan.training.networks.onnx_module import OnnxError, read_onnx
    except ModuleNotFoundError as error:
        raise RecipeError(f"--classifier: an ONNX file needs {error.name}: install medxgan[export]") from error
    try:
        _, height, width = read_onnx(Path(configuration.source)).picture
    except FileNotFoundError as error:
        raise RecipeError(f"--classifier: no such file: {configuration.source}") from error
    except OnnxError as error:
        raise RecipeError(f"--classifier: {configuration.source}: {error}") from error
    if height != width:
        raise RecipeError(f"--classifier: expected square pictures, the file takes {height} x {width}")
    return height


@torch.no_grad()
def decisions(
    images: LabelledImages,
    shown: tuple[ExternalClassifier, Preprocess],
    own: tuple[ExternalClassifier, Preprocess] | None,
    threshold: float,
) -> Decisions:
    """What the classifier says of images.

    Args:
        images: the calibration images.
        shown: the classifier and the preprocessing of the model.
        own: those at the classifier's own size; None where it is the same.
        threshold: probability from which an image is positive.
    """
    label = torch.from_numpy(images.labels)
    scores = [
        probability(classifier, preprocess_images(preprocess, images).x, 32)
        for classifier, preprocess in (shown, *_given(own))
    ]
    aucs = [area_under_curve(score, label) for score in scores]
    agreement = ((scores[0] >= threshold) == (scores[-1] >= threshold)).float().mean().item()
    return Decisions(len(images), agreement, aucs[-1], aucs[0], int((scores[0] >= threshold).sum()))


def _given(
    own: tuple[ExternalClassifier, Preprocess] | None,
) -> Sequence[tuple[ExternalClassifier, Preprocess]]:
    return () if own is None else (own,)
