"""What each part of the recipe for films of one hospital earns: the masked form, trained with one part taken out.

    python benchmarks/ablations_masked.py --data DATA --seeds 1 --seeds 2

Every variant trains its classifier, where that differs, and the pathology against it, which alone draws the difference,
from each seed, smaller and shorter than what is shipped. It is measured on the *calibration* patients, by the encoder's
guess without the corrections that hide what a training lacks; the second row has them. Trainings that are in the
folder of --work are not done again. Writes ablations-NAME.json and .md.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from measuring import conditions, machine, write_results

from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.data.samples import DataSplit
from medxgan.training.report import Part, classifier_figures, generator_figures
from medxgan.training.runs import Run
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_masked import train_masked_generator

Sections = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Variant:
    """A change of the configuration, by section and key.

    Attributes:
        name: what is left out or changed.
        classifier: of what the classifier depends on too: it is trained anew.
        generator: of what the generator alone depends on.
        weights: of the terms of the generator's loss.
    """

    name: str
    classifier: Sections = field(default_factory=dict)
    generator: Sections = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Of its training."""
        return re.sub(r"\W+", "-", self.name.lower())

    @property
    def same_training(self) -> bool:
        """Whether the networks are the recipe's."""
        return not (self.classifier or self.weights) and self.generator.keys() <= {"inversion"}


RECIPE = Variant("the recipe")
VARIANTS = (
    RECIPE,
    Variant("its guess corrected, as served", generator={"inversion": {"corrections": 2}}),
    Variant("C sees all detail", {"classifier": {"low_pass": 0}}),
    Variant("C is not taught where lesions are", {"classifier": {"localisation": 0.0}}),
    Variant("place by C's gradients, not by boxes", generator={"generator": {"focus": "gradient"}}),
    Variant("no floor of the density", generator={"generator": {"floor": 0.0}}),
    Variant("a quarter of the weight on C's answer", weights={"class_of_applied": 2.0}),
    Variant("no discriminator", weights={"adversarial": 0.0}),
    Variant("no transfer between patients", weights={"transfer": 0.0}),
    Variant("C and the pathology see films as they are", {"augmentation": {"style": 0.0, "exposure": 0.0}}),
)

CLASSIFIED = "C's AUC"
COLUMNS = {
    "average precision": "difference.average_precision",
    "pointing": "difference.pointing",
    "Grad-CAM's average precision": "grad_cam.average_precision",
    "image less the difference negative": "applied_negative_called_negative",
    "mean difference": "mean_difference",
    "its Laplacian over real ones', AP": "applied_over_real_AP.laplacian",
}


def configure(base: TrainingConfig, variant: Variant, seed: int) -> TrainingConfig:
    """The configuration of a variant."""
    content = base.model_dump() | {"seed": seed}
    for section, changes in (*variant.classifier.items(), *variant.generator.items()):
        content[section] = content[section] | changes
    content["generator"]["weights"] = content["generator"]["weights"] | variant.weights
    return TrainingConfig.model_validate(content)


def train(configuration: TrainingConfig, variant: Variant, data_root: Path, folder: Path) -> Run:
    """Classifier and pathology of a variant, in its folder beside that of the recipe, which comes first."""
    run, recipe = Run.create(folder, configuration), folder.with_name(RECIPE.folder)
    if not run.has("classifier"):
        if variant.classifier or folder == recipe:
            train_classifier(configuration, data_root, folder)
        else:
            shutil.copytree(recipe / "classifier", folder / "classifier")
    if not run.has("generator"):
        if variant.same_training and folder != recipe:
            shutil.copytree(recipe / "generator", folder / "generator")
        else:
            train_masked_generator(configuration, data_root, folder)
    return run


def measure(run: Run, split: DataSplit) -> dict[str, float]:
    """Figures on the true positives among the calibration patients."""
    if split.calibration is None:
        raise typer.BadParameter("expected one with data.calibration_share", param_hint="--config")
    train_part, kept = Part(run, split.train), Part(run, split.calibration)
    figures = generator_figures(run, train_part, kept, steps=0, fresh=False)
    figures |= figures.pop("place")
    auc = classifier_figures(run.classifier(), train_part, kept)["classifier"]
    return {CLASSIFIED: auc["all"]} | {title: _at(figures, path) for title, path in COLUMNS.items()}


def main(
    data: Annotated[Path, typer.Option(help="Folder that the configuration's paths start from.")],
    config: Annotated[Path, typer.Option(help="Of the masked form.")] = Path("training/configs/chest-rsna.toml"),
    seeds: Annotated[list[int] | None, typer.Option(help="1 and 2 if left out.")] = None,
    size: Annotated[int, typer.Option(help="Pixels along a side.")] = 64,
    epochs: Annotated[int, typer.Option(help="Of every classifier.")] = 30,
    steps: Annotated[int, typer.Option(help="Of every pathology.")] = 600,
    work: Annotated[Path, typer.Option(help="Folder of the trainings.")] = Path("runs/ablations-masked"),
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Train, measure and write the table."""
    torch.set_num_threads(1)
    base = _smaller(load_configuration(config), size, epochs, steps)
    split = base.data.load(data)
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in seeds or [1, 2]:
        for variant in VARIANTS:
            run = train(configure(base, variant, seed), variant, data, work / str(seed) / variant.folder)
            rows.setdefault(variant.name, []).append(measure(run, split))
            print(seed, variant.name, json.dumps(rows[variant.name][-1]), flush=True)
    report = {**conditions(1, "torch", folders={data: "DATA", work: "RUNS"}), "variants": rows}
    write_results(out, f"ablations-{config.stem}", report, page(report, config.stem, rows))


def page(report: Mapping[str, object], name: str, rows: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """The table: every seed's figure, beside each other."""
    columns = (CLASSIFIED, *COLUMNS)
    table = [("left out or changed", *columns), ("---",) * (len(columns) + 1)]
    table += [
        (of, *(", ".join(f"{row[title]:.2g}" for row in seeds) for title in columns)) for of, seeds in rows.items()
    ]
    lines = "\n".join("| " + " | ".join(line) + " |" for line in table)
    return f"# Ablations of the masked form: {name}\n\n{machine(report)}.\n\n    {report['command']}\n\n{lines}\n"


def _smaller(base: TrainingConfig, size: int, epochs: int, steps: int) -> TrainingConfig:
    content = base.model_dump()
    content["image"]["size"], content["classifier"]["epochs"] = size, epochs
    # Neither the anatomy nor the familiarity takes part in the difference.
    content["generator"] |= {"pathology_steps": steps, "steps": 1, "checkpoint_interval": steps}
    content["familiarity"]["steps"] = 1
    content["refinement"]["passes"] = content["inversion"]["corrections"] = 0
    return TrainingConfig.model_validate(content)


def _at(figures: Mapping[str, Any], path: str) -> float:
    value: Any = figures
    for key in path.split("."):
        value = value[key]
    return float(value[0] if isinstance(value, list) else value)


if __name__ == "__main__":
    typer.run(main)
