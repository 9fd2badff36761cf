"""Weights of the loss terms, by short trainings that are judged on calibration patients."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from medxgan.training.configuration import TrainingConfig
from medxgan.training.data.samples import DataSplit, LabelledImages
from medxgan.training.dataset import preprocess_images
from medxgan.training.networks import ExplainedClassifier
from medxgan.training.networks.classifier import probability
from medxgan.training.objective import Realizations
from medxgan.training.recipe.budget import search_steps
from medxgan.training.recipe.trial import unwatched
from medxgan.training.runs import Run, build_preprocess
from medxgan.training.train_generator import train_generator

VARIANTS: dict[str, dict[str, float]] = {
    "as the shipped models": {},
    "nearer to the image": {"reconstruction": 2.0, "features": 2.0, "adversarial": 0.25},
    "a bolder pathology": {"class_of_applied": 2.0, "class_of_negative": 2.0, "sparsity": 0.5, "outside": 0.5},
}
"""What the weights of the defaults are multiplied by."""

FEWEST_POSITIVES = 10
"""Calibration images that the classifier calls positive; with fewer, a search would choose by chance."""


@dataclass(frozen=True)
class Judgement:
    """What a short training reached on the calibration images that the classifier calls positive.

    Attributes:
        variant: its name.
        flipped: share of them that the classifier calls negative, less the difference.
        unexplained: squared error of the reconstruction, as a share of the images' variance.
        changed: mean size of the difference, as a share of the images' mean deviation from their mean.
    """

    variant: str
    flipped: float
    unexplained: float
    changed: float

    @property
    def score(self) -> float:
        """The greater the better: an explanation convinces the classifier, resembles the patient, changes little."""
        return self.flipped - self.unexplained - self.changed


def search_weights(
    configuration: TrainingConfig,
    data_root: Path,
    split: DataSplit | None,
    calibration: LabelledImages,
    progress: Callable[[str], None],
) -> tuple[TrainingConfig, list[Judgement]]:
    """Train each variant for a part of the steps, and take the best.

    Args:
        configuration: the whole of it; its weights are those that are multiplied.
        data_root: folder that relative paths of the `data` section start from.
        split: its images, where they are in memory.
        calibration: images to judge on, which nothing is trained on.
        progress: told the name of each variant before it is tried.

    Returns:
        The configuration with the best weights, and what was found, the best first.
    """
    found = []
    for variant in VARIANTS:
        progress(variant)
        with tempfile.TemporaryDirectory() as folder:
            short = _shortened(_weighted(configuration, variant))
            with unwatched():
                run = train_generator(short, data_root, Path(folder), split=split)
            found.append(judge(run, run.classifier(), calibration, variant))
    found.sort(key=lambda each: each.score, reverse=True)
    return _weighted(configuration, found[0].variant), found


@torch.no_grad()
def judge(run: Run, classifier: ExplainedClassifier, images: LabelledImages, variant: str) -> Judgement:
    """Measure a run's generator, by its encoder alone, on the images that the classifier calls positive."""
    threshold = run.configuration.classes.decision_threshold
    generator, encoder = run.generator()
    if encoder is None:
        raise ValueError("generator.encoder_channels: the search of a recipe needs an encoder")
    x = preprocess_images(build_preprocess(run.configuration), images).x
    x = x[probability(classifier, x, 32) >= threshold]
    code = torch.cat([encoder(rows) for rows in torch.split(x, 32)])
    made = Realizations(code, *generator.realize(code))
    flipped = (probability(classifier, made.applied_negative(x), 32) < threshold).float().mean()
    unexplained = ((made.reconstruction - x) ** 2).mean() / x.var()
    changed = (made.reconstruction - made.negative).abs().mean() / (x - x.mean()).abs().mean()
    return Judgement(variant, flipped.item(), unexplained.item(), changed.item())


def _weighted(configuration: TrainingConfig, variant: str) -> TrainingConfig:
    weights = configuration.generator.weights
    changed = {name: getattr(weights, name) * factor for name, factor in VARIANTS[variant].items()}
    generator = configuration.generator.model_copy(update={"weights": weights.model_copy(update=changed)})
    return configuration.model_copy(update={"generator": generator})


def _shortened(configuration: TrainingConfig) -> TrainingConfig:
    """A training of the search: its learning rate falls as that of the whole does; familiarity is left for later."""
    steps = search_steps(configuration.generator.steps)
    generator = configuration.generator.model_copy(update={"steps": steps, "checkpoint_interval": steps})
    familiarity = configuration.familiarity.model_copy(update={"steps": 1})
    return configuration.model_copy(update={"generator": generator, "familiarity": familiarity})
