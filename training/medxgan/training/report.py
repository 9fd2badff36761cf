"""What a run's classifier and generator reach on patients kept apart: figures to compare trainings by.

    python -m medxgan.training.report RUN --data FOLDER [--part calibration] [--steps 0] [--fresh]

The calibration part is for choosing; the test part (`--part test`) is for the end.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medxgan.training import placing, sharpness, shortcuts
from medxgan.training.configuration import InversionConfig
from medxgan.training.data.samples import LabelledImages
from medxgan.training.dataset import lesion_masks, preprocess_images
from medxgan.training.inversion import invert
from medxgan.training.networks import ExplainedClassifier, Generator, MaskedGenerator
from medxgan.training.networks.classifier import Classifier, probability
from medxgan.training.runs import Run, build_preprocess
from medxgan.training.sampling import balancing_weights, draw_batch

REPLICATES = 2000
"""Resamplings of the patients that an interval is taken from."""


class Part:
    """Images of one part of the data, as the networks see them.

    Attributes:
        x: [N, 1, S, S] in [-1, 1].
        label: [N], 0 or 1.
        masks: [N, 1, S, S] share of each pixel that the data's masks cover.
        strata: N names.
    """

    def __init__(self, run: Run, images: LabelledImages) -> None:
        tensors = preprocess_images(build_preprocess(run.configuration), images)
        self.x, self.label = tensors.x, tensors.label
        self.masks = lesion_masks(images, tensors.x.shape[-1])
        self.strata = images.strata or ("",) * len(images)

    def strata_of(self, rows: Tensor) -> tuple[str, ...]:
        """Strata of the rows where `rows`, bool [N], is True."""
        return tuple(name for name, row in zip(self.strata, rows.tolist(), strict=True) if row)


def classifier_figures(classifier: ExplainedClassifier, train: Part, other: Part) -> dict[str, Any]:
    """AUC by stratum of C, and of regressions that see no disease."""
    weights = balancing_weights(train.label, train.strata)
    figures = {"classifier": shortcuts.auc_by_stratum(probability(classifier, other.x), other.label, other.strata)}
    for features in (shortcuts.border, shortcuts.histogram, shortcuts.miniature):
        score = shortcuts.regression_score(features(train.x), train.label, weights, features(other.x))
        figures[features.__name__] = shortcuts.auc_by_stratum(score, other.label, other.strata)
    return figures


@torch.no_grad()
def realize(generator: Generator, z: Tensor) -> tuple[Tensor, Tensor]:
    """G(z1, z2) and G(z1, 0), [N, 1, S, S] each, of z: [N, D]."""
    parts = [generator.realize(rows) for rows in torch.split(z, 64)]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def explained(
    generator: Generator,
    encoder: nn.Module,
    classifier: ExplainedClassifier,
    x: Tensor,
    steps: int,
    how: InversionConfig,
) -> tuple[Tensor, Tensor]:
    """Reconstruction and negative realization of x: [N, 1, S, S], after so many steps of inversion."""
    with torch.no_grad():
        z = torch.cat([encoder(rows) for rows in torch.split(x, 64)])
    if steps:
        z = invert(
            generator,
            classifier,
            x,
            z,
            steps=steps,
            learning_rate=how.learning_rate,
            reconstruction_weight=how.reconstruction_weight,
            pathology_rate=how.pathology_rate,
        ).z
    return realize(generator, z)


def place_figures(maps: dict[str, Tensor], masks: Tensor, reference: str) -> dict[str, dict[str, Any]]:
    """Average precision and pointing of each map, with 95 % intervals, and what it gains over the reference."""
    resampled = torch.randint(0, len(masks), (REPLICATES, len(masks)), generator=torch.Generator().manual_seed(0))
    measured = {
        name: {"average_precision": placing.average_precision(each, masks), "pointing": placing.pointing(each, masks)}
        for name, each in maps.items()
    }
    figures: dict[str, dict[str, Any]] = {}
    for name, values in measured.items():
        figures[name] = {}
        for figure, each in values.items():
            gain = each - measured[reference][figure]
            figures[name][figure] = [each.mean().item(), *_interval(each[resampled].mean(1))]
            figures[name][f"{figure}_gain"] = [gain.mean().item(), *_interval(gain[resampled].mean(1))]
    return figures


def sharpness_figures(made: Tensor, real: Tensor) -> dict[str, Any]:
    """Of made pictures over real ones: contrast, energy of the Laplacian, and energy of each octave (medians)."""
    bands = sharpness.band_energies(made).median(0).values / sharpness.band_energies(real).median(0).values
    return {
        "contrast": (sharpness.contrast(made).median() / sharpness.contrast(real).median()).item(),
        "laplacian": (sharpness.laplacian_energy(made).median() / sharpness.laplacian_energy(real).median()).item(),
        "octaves_finest_first": bands.tolist(),
    }


Pictures = tuple[Tensor, tuple[str, ...]]
"""Pictures [N, 1, S, S] and their strata."""


def fresh_classifier(train: tuple[Pictures, Pictures], other: tuple[Pictures, Pictures], steps: int = 400) -> Any:
    """AUC by stratum of a new small classifier that is trained to tell made pictures from real ones.

    Args:
        train: made and real pictures to train on, drawn balanced by stratum.
        other: made and real pictures to be measured on.
        steps: of training, with 32 pictures each.
    """
    torch.manual_seed(0)
    (x, label, strata), (seen, truth, kept) = (_made_and_real(*pair) for pair in (train, other))
    weights = balancing_weights(label, strata)
    network = Classifier(8)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2)
    for _ in range(steps):
        rows = draw_batch(weights, len(x), 32)
        loss = F.binary_cross_entropy_with_logits(network(x[rows]), label[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return shortcuts.auc_by_stratum(probability(network.eval(), seen), truth, kept)


def _made_and_real(made: Pictures, real: Pictures) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Both together, 1 for the made ones, and the strata."""
    x = torch.cat([made[0], real[0]])
    return x, torch.arange(len(x)).lt(len(made[0])).float(), made[1] + real[1]


def generator_figures(run: Run, train: Part, other: Part, steps: int, fresh: bool) -> dict[str, Any]:
    """Figures of the explanations of the true positives of `other`."""
    classifier = run.classifier()
    generator, guessing = run.generator()
    encoder = run.explaining_encoder(generator, guessing, classifier)
    if encoder is None:
        raise ValueError("expected a run with an encoder")
    threshold = run.configuration.classes.decision_threshold

    def positives(part: Part) -> Tensor:
        return (part.label > 0) & (probability(classifier, part.x) >= threshold)

    def negative_share(x: Tensor) -> float:
        return (probability(classifier, x) < threshold).float().mean().item()

    rows = positives(other)
    x, masks = other.x[rows], other.masks[rows]
    reconstruction, negative = explained(generator, encoder, classifier, x, steps, run.configuration.inversion)
    difference = reconstruction - negative
    applied = (x - difference).clamp(-1, 1)
    residual = placing.smoothed((x - negative).clamp_min(0))
    maps = {
        "grad_cam": placing.grad_cam(classifier, x),
        "mean_of_training_masks": train.masks[train.label > 0].mean(0, keepdim=True).expand_as(masks),
        "difference": difference,
        "residual": residual,
        "difference_times_residual": difference.clamp_min(0) * residual,
    }
    if isinstance(generator, MaskedGenerator):
        maps["evidence_in_the_image"] = placing.smoothed(x + 1) * difference
    figures: dict[str, Any] = {
        "true_positives": int(rows.sum()),
        "inversion_steps": steps,
        "reconstruction_mse": F.mse_loss(reconstruction, x).item(),
        "reconstruction_called_positive": 1 - negative_share(reconstruction),
        "negative_called_negative": negative_share(negative),
        "applied_negative_called_negative": negative_share(applied),
        "mean_difference": difference.abs().mean().item(),
        "share_of_difference_in_masks": ((difference.abs() * masks).sum() / difference.abs().sum()).item(),
        "place": place_figures(maps, masks, "grad_cam"),
    }
    kept = other.strata_of(rows)
    for name in sorted(set(other.strata)):
        chosen = torch.tensor([each == name for each in kept])
        real = other.x[torch.tensor([each == name for each in other.strata]) & (other.label == 0)]
        figures[f"applied_over_real_{name}"] = sharpness_figures(applied[chosen], real)
    if fresh:
        learned = positives(train)
        rec, neg = explained(generator, encoder, classifier, train.x[learned], steps, run.configuration.inversion)
        made = (train.x[learned] - rec + neg).clamp(-1, 1)
        pairs = ((train, learned), (other, rows))
        strata = [part.strata_of(chosen) for part, chosen in pairs]
        real_films = [(part.x[part.label == 0], part.strata_of(part.label == 0)) for part, _ in pairs]
        shown = ((made, strata[0]), real_films[0]), ((applied, strata[1]), real_films[1])
        unchanged = ((train.x[learned], strata[0]), real_films[0]), ((x, strata[1]), real_films[1])
        figures["fresh_classifier_auc"] = fresh_classifier(*shown)
        figures["fresh_classifier_auc_of_the_images_themselves"] = fresh_classifier(*unchanged)
    return figures


def _interval(values: Tensor) -> list[float]:
    return torch.quantile(values, torch.tensor([0.025, 0.975])).tolist()


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that the configuration's paths start from")
    parser.add_argument("--part", choices=("calibration", "test"), default="calibration")
    parser.add_argument("--steps", type=int, default=0, help="steps of inversion after the encoder")
    parser.add_argument("--fresh", action="store_true", help="train a classifier of made against real pictures too")
    given = parser.parse_args()
    run = Run.open(given.run)
    split = run.configuration.data.load(given.data)
    images = split.test if given.part == "test" else split.calibration
    if images is None:
        parser.error("the configuration sets no calibration part aside")
    train, other = Part(run, split.train), Part(run, images)
    figures: dict[str, Any] = {"part": given.part, "images": len(images)}
    figures |= classifier_figures(run.classifier(), train, other)
    if run.has("generator"):
        figures |= generator_figures(run, train, other, given.steps, given.fresh)
    print(json.dumps(_rounded(figures), indent=2))  # noqa: T201 - this is what it is for


if __name__ == "__main__":
    main()
