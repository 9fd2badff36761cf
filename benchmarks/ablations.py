"""What each part of the training recipe earns: the same short training with one part taken out at a time.

    python benchmarks/ablations.py --classifier RUN [--config FILE] [--data DATA] [--steps 500]

Every variant trains a generator from scratch against the classifier of RUN, with the same seed and number of steps, and
is measured on the *calibration* patients, which nothing is trained on: the test split is left alone, for a recipe is
chosen by such tables. Trainings that are already in the folder of --work are not done again.
"""

import argparse
import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from measuring import cpu_model, versions, write_results

from medxgan.evaluation.bundle_figures import split_metrics
from medxgan.evaluation.served import served
from medxgan.export.bundle import export_bundle
from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.runs import Run, load_trained_model
from medxgan.training.train_generator import train_generator


@dataclass(frozen=True)
class Variant:
    """A change of the configuration's `generator` section, and of its weights."""

    name: str
    generator: dict[str, Any]
    weights: dict[str, float]
    blur: float | None = None


VARIANTS = (
    Variant("the recipe", {}, {}),
    Variant("one decoder, coarse codes", {"form": "plain", "fine_z1": 0, "fine_z2": 0}, {}),
    Variant("coarse codes alone", {"fine_z1": 0, "fine_z2": 0}, {}),
    Variant("no discriminator", {"judge_applied": False}, {"adversarial": 0.0}),
    Variant("discriminator not told the class", {"conditional": False}, {}),
    Variant("applied negative not trained", {"judge_applied": False}, {"class_of_applied": 0.0}),
    Variant("classifier sees no blurred copies", {}, {}, blur=0.0),
    Variant("classifier and discriminator see plain pictures", {"augment": False}, {}),
    Variant("free to change anything: no outside, no sparsity", {}, {"outside": 0.0, "sparsity": 0.0}),
    Variant("classifier's features not matched", {}, {"features": 0.0}),
)

COLUMNS = {
    "average precision, residual": "residual_average_precision",
    "average precision, difference": "difference_average_precision",
    "pointing, residual": "residual_pointing",
    "MSE": "reconstruction_mse",
    "negative is negative": "negative_called_negative",
    "applied negative is negative": "applied_negative_called_negative",
    "place of difference": "place_of_difference",
}


def configure(base: TrainingConfig, variant: Variant, steps: int) -> TrainingConfig:
    """The configuration of a variant."""
    weights = base.generator.weights.model_copy(update=variant.weights)
    settings = {"weights": weights, "steps": steps, "checkpoint_interval": steps} | variant.generator
    update: dict[str, Any] = {"generator": base.generator.model_copy(update=settings)}
    if variant.blur is not None:
        update["augmentation"] = base.augmentation.model_copy(update={"blur": variant.blur})
    return base.model_copy(update=update)


def measure(run: Run, data_root: Path) -> dict[str, float]:
    """Figures on the true positives among the calibration patients, as the run's bundle is served."""
    images = run.configuration.data.load(data_root)
    if images.calibration is None:
        raise SystemExit("data.calibration_share: expected a share above 0, patients to measure on")

    async def metrics(bundle: Path) -> dict[str, float]:
        async with served(bundle, "cpu", 1) as model:
            measured = await split_metrics(model, images, "calibration")
        return {"images": measured[0].images} | {metric.name: metric.value for metric in measured}

    with tempfile.TemporaryDirectory() as temporary:
        bundle = Path(temporary) / "ablation" / "1"
        export_bundle(load_trained_model(run.folder), bundle)
        return asyncio.run(metrics(bundle))


def main() -> None:
    """Train, measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("training/configs/phantom.toml"))
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the configuration's paths start from")
    parser.add_argument("--classifier", type=Path, required=True, help="run folder with the trained classifier")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the variants, from 0; all when left out")
    parser.add_argument("--work", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    base = load_configuration(arguments.config)
    chosen = range(len(VARIANTS)) if arguments.only is None else arguments.only

    rows = {}
    for number in chosen:
        variant, folder = VARIANTS[number], arguments.work / f"{number}"
        shutil.copytree(arguments.classifier / "classifier", folder / "classifier", dirs_exist_ok=True)
        run = train_generator(configure(base, variant, arguments.steps), arguments.data, folder)
        rows[variant.name] = measure(run, arguments.data)
        print(variant.name, rows[variant.name], flush=True)
    title = f"{arguments.config.stem}, {arguments.steps} steps, {cpu_model()}, {versions('torch')}"
    table = [("left out or changed", *COLUMNS), ("---",) * (len(COLUMNS) + 1)]
    table += [(name, *(_cell(row.get(key)) for key in COLUMNS.values())) for name, row in rows.items()]
    page = f"# Ablations: {title}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in table) + "\n"
    report = {"configuration": str(arguments.config), "steps": arguments.steps, "cpu": cpu_model(), "variants": rows}
    write_results(arguments.out, f"ablations-{arguments.config.stem}", report, page)
    draw(rows, arguments.out / f"ablations-{arguments.config.stem}.png")


def draw(rows: dict[str, dict[str, float]], file: Path) -> None:
    """Bars of the three figures that a fooled classifier does not improve, a group for each variant."""
    shown = [title for title in COLUMNS if title.split(",")[0] in {"average precision", "applied negative is negative"}]
    figure, axes = plt.subplots(1, len(shown), figsize=(3.4 * len(shown) + 3, 0.4 * len(rows) + 1.2), sharey=True)
    names = list(rows)[::-1]
    for axis, title in zip(axes, shown, strict=True):
        axis.barh(
            names, [rows[name].get(COLUMNS[title], 0.0) for name in names], color=["0.6"] * (len(names) - 1) + ["C0"]
        )
        axis.axvline(rows[names[-1]].get(COLUMNS[title], 0.0), color="C0", linewidth=0.8)
        axis.set(title=title, xlim=(0, 1))
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
