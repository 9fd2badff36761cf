"""From a classifier and a set of images to a plan."""

import time
from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any

from medxgan.training.configuration import ExternalClassifierConfig, TrainingConfig, completed
from medxgan.training.data.samples import DataSplit, LabelledImages
from medxgan.training.data.source import ShardsData
from medxgan.training.load_classifier import ClassifierSourceError, load_external_classifier
from medxgan.training.networks import ExternalClassifier
from medxgan.training.preprocessing import Preprocess
from medxgan.training.recipe.budget import RecipeError, affordable_steps
from medxgan.training.recipe.inspection import Decisions, decisions, picture_size
from medxgan.training.recipe.plan import Plan
from medxgan.training.recipe.search import FEWEST_POSITIVES, VARIANTS
from medxgan.training.recipe.sizing import FEWEST_STEPS, SIZES, generator_sizes, image_size, steps_for
from medxgan.training.recipe.trial import measure_cost
from medxgan.training.runs import build_preprocess


def make_plan(stated: Mapping[str, Any], split: DataSplit, images: int, deadline: float | None) -> Plan:
    """Size a training; what the configuration states stays as it is.

    Args:
        stated: content of the configuration: the sections data, classes, card, image (at least `modality`) and
            external_classifier, with absolute paths; whatever else a person wants otherwise than the recipe.
        split: the images that it names, with a calibration part.
        images: to train on; of shards more than `split` holds.
        deadline: when all of it is to be done, in the seconds of `time.perf_counter`; None where there is no hurry.

    Raises:
        RecipeError: the classifier does not fit the images, or the budget is too small.
    """
    calibration = split.calibration
    if calibration is None:
        raise RecipeError("data: expected patients to calibrate on: set calibration_share")
    external = ExternalClassifierConfig.model_validate(stated["external_classifier"])
    positive = str(stated.get("classes", {}).get("positive", ""))
    side = round(median(min(image.shape) for image in split.train.images))
    preferred = image_size(side, None)
    takes = picture_size(external, positive, stated.get("image", {}).get("size", preferred))
    notes = []
    if takes is None and external.size is None:
        notes.append(
            "The classifier was not made for one size alone: where it was trained at another, state that as "
            "external_classifier.size."
        )
    size = stated.get("image", {}).get("size", image_size(side, takes))
    trials = len(VARIANTS)
    if stated.get("generator", {}).get("form") == "masked":
        raise RecipeError('generator.form: the recipe has none for "masked"')
    while True:
        configuration = _configuration(stated, size, takes, images)
        classifier = _classifier(configuration)
        found = _decisions(configuration, calibration, takes)
        if not 0 < found.positives < found.images:
            raise RecipeError(
                f"--classifier: calls {found.positives} of {found.images} calibration images {positive!r}, so that "
                "there is nothing to explain: do classes.positive, and channels, mean and std of external_classifier, "
                "fit it?"
            )
        searches = found.positives >= FEWEST_POSITIVES and "weights" not in stated.get("generator", {})
        cost = measure_cost(configuration, classifier, split)
        if isinstance(configuration.data, ShardsData):
            # What is streamed is made ready, and looked at by the classifier, in every step anew.
            cost = replace(cost, step=cost.step + configuration.generator.batch_size * cost.image)
        wanted = configuration.generator.steps
        held = len(split.train)
        steps: int | None = wanted
        if deadline is not None:
            left = deadline - time.perf_counter()
            steps = affordable_steps(cost, wanted, held, trials if searches else 0, left)
        if steps is not None:
            break
        smaller = [each for each in SIZES if each < size]
        if "size" in stated.get("image", {}) or not smaller:
            least = cost.seconds(min(FEWEST_STEPS, wanted), held, trials if searches else 0)
            raise RecipeError(
                f"--budget: expected {least / 3600:.2f} hours or more beyond what the plan has taken, for a training "
                f"at {size} x {size} pixels on this machine"
            )
        size = smaller[-1]
        notes.append(f"Made for {size} x {size} pixels, as the budget does not allow more.")
    if not searches and "weights" not in stated.get("generator", {}):
        notes.append(f"Weights are not searched for: only {found.positives} calibration images are called positive.")
    notes += _of_size(found, takes, size)
    generator = configuration.generator.model_copy(update={"steps": steps})
    card = configuration.card
    card = card.model_copy(update={"limitations": (*card.limitations, *_of_size(found, takes, size))})
    return Plan(
        configuration=configuration.model_copy(update={"generator": generator, "card": card}),
        images=images,
        held=held,
        steps_wanted=wanted,
        cost=cost,
        decisions=found,
        searches=searches,
        notes=tuple(notes),
    )


def _configuration(stated: Mapping[str, Any], size: int, takes: int | None, images: int) -> TrainingConfig:
    """What the recipe says, and over it what is stated."""
    recipe: dict[str, Any] = {
        "image": {"size": size},
        "generator": generator_sizes(images, size) | {"steps": steps_for(images)},
        "external_classifier": {} if takes in {None, size} else {"size": takes},
    }
    return completed(recipe, stated)


def _classifier(configuration: TrainingConfig) -> ExternalClassifier:
    external, positive = configuration.external_classifier, configuration.classes.positive
    if external is None:
        raise RecipeError("external_classifier: expected a classifier")
    try:
        return load_external_classifier(external, configuration.image.size, positive)
    except ClassifierSourceError as error:
        raise RecipeError(str(error)) from error


def _decisions(configuration: TrainingConfig, calibration: LabelledImages, takes: int | None) -> Decisions:
    """What the classifier says of the calibration images, at the model's size and at its own."""
    threshold, image = configuration.classes.decision_threshold, configuration.image
    shown = _classifier(configuration), build_preprocess(configuration)
    own = None
    if takes is not None and takes != image.size:
        at_own = configuration.model_copy(update={"image": image.model_copy(update={"size": takes})})
        preprocess = Preprocess(takes, image.lower_percentile, image.upper_percentile, image.aspect).eval()
        own = _classifier(at_own), preprocess
    return decisions(calibration, shown, own, threshold)


def _of_size(found: Decisions, takes: int | None, size: int) -> list[str]:
    """What is to be said where the classifier is shown other pictures than it was made for."""
    if takes in {None, size}:
        return []
    auc = (
        ""
        if found.auc is None or found.own_auc is None
        else (f" (area under the ROC curve {found.auc:.2f}, at its own size {found.own_auc:.2f})")
    )
    return [
        f"The classifier takes {takes} x {takes} pixels and is shown {size} x {size} resized to these: on "
        f"{found.images} calibration images {found.agreement:.0%} of its decisions are those of its own size{auc}."
    ]
