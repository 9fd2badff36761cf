"""One image from the server's answer to the files about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from medxgan.client.animation import write_animation
from medxgan.client.attribution_panel import write_attribution_panel, write_comparison
from medxgan.client.client import Client
from medxgan.client.commands.summary import attribution_table, explanation_table
from medxgan.client.commands.terminal import standard_error
from medxgan.client.panel import write_panel
from medxgan.client.pictures import FILES, write_attribution_pictures, write_pictures
from medxgan.client.positive_panel import write_positive_panel
from medxgan.client.report import write_attribution_report, write_report
from medxgan.client.results import (
    Attribution,
    AttributionMethod,
    Explanation,
    IntegratedGradientsSettings,
    MapKind,
    ModelDescription,
    OcclusionSettings,
    ProgressPhase,
)
from medxgan.client.results import Progress as InversionProgress


@dataclass(frozen=True)
class InversionOptions:
    """What a caller chose for the inversion; None is the bundle's default."""

    steps: int | None
    learning_rate: float | None
    reconstruction_weight: float | None
    restarts: int | None
    seed: int


@dataclass(frozen=True)
class AttributionOptions:
    """What a caller chose for the methods of attribution; None is a default."""

    target: int | None
    integrated_gradients: IntegratedGradientsSettings
    occlusion: OcclusionSettings
    inversion: InversionOptions


def explain_image(
    client: Client,
    description: ModelDescription,
    image: Path,
    folder: Path,
    options: InversionOptions,
    frames: int | None,
) -> tuple[Path, Table]:
    """Explain `image` by inversion and write its files into `folder`.

    Args:
        client: the connection.
        description: of the model.
        image: the file.
        folder: made where it does not exist.
        options: of the inversion.
        frames: pictures of the trajectory; None for none.

    Returns:
        The path of the panel, and a table for the terminal.
    """
    explanation = _explain_with_progress(client, description, image, options, frames)
    positive_class = description.bundle.classification.positive_class
    panel, positive_panel, animation = (folder / name for name in ("panel.png", "positive-panel.png", "trajectory.gif"))
    folder.mkdir(parents=True, exist_ok=True)
    # What this explanation does not have must not be left over from another one, of another patient.
    for leftover in (*(folder / name for name in FILES.values()), positive_panel, animation):
        leftover.unlink(missing_ok=True)
    write_pictures(explanation, folder)
    write_report(explanation, folder / "explanation.json")
    write_panel(explanation, panel, positive_class=positive_class)
    if not explanation.scores.image_is_positive:
        write_positive_panel(explanation, positive_panel, positive_class=positive_class)
    if explanation.trajectory:
        write_animation(explanation.trajectory, explanation.scores, animation)
    return panel, explanation_table(explanation, image=str(image), positive_class=positive_class)


def attribute_image(
    client: Client,
    description: ModelDescription,
    image: Path,
    folder: Path,
    method: AttributionMethod,
    options: AttributionOptions,
) -> tuple[Path, Table]:
    """Attribute the score of `image` by `method`; otherwise as `explain_image`."""
    attribution = _attribute(client, description, image, [method], options)
    panel = folder / "panel.png"
    _write_attribution(attribution, {method: "attribution.png"}, folder)
    write_attribution_panel(attribution, method, panel)
    return panel, attribution_table(attribution, image=str(image))


def compare_methods(
    client: Client, description: ModelDescription, image: Path, folder: Path, options: AttributionOptions
) -> tuple[Path, Table]:
    """Attribute the score of `image` by every method that the bundle can serve; otherwise as `explain_image`.

    Methods that need the generator explain the positive class: they are left out where the target is another.
    """
    positive = description.bundle.classification.positive_output
    methods = [
        method for method in description.methods if options.target in (None, positive) or not method.needs_generator
    ]
    attribution = _attribute(client, description, image, methods, options)
    sheet = folder / "comparison.png"
    _write_attribution(attribution, {method: f"{method.value.replace('_', '-')}.png" for method in methods}, folder)
    write_comparison(attribution, sheet)
    return sheet, attribution_table(attribution, image=str(image))


def _attribute(
    client: Client,
    description: ModelDescription,
    image: Path,
    methods: Sequence[AttributionMethod],
    options: AttributionOptions,
) -> Attribution:
    with standard_error().status(image.name):
        return client.attribute(
            image,
            methods=methods,
            model=description.model.name,
            version=description.model.version,
            target=options.target,
            integrated_gradients=options.integrated_gradients,
            occlusion=options.occlusion,
            steps=options.inversion.steps,
            learning_rate=options.inversion.learning_rate,
            reconstruction_weight=options.inversion.reconstruction_weight,
            restarts=options.inversion.restarts,
            seed=options.inversion.seed,
        )


def _write_attribution(attribution: Attribution, files: Mapping[AttributionMethod, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_attribution_pictures(attribution, files, folder)
    write_attribution_report(attribution, files, folder / "explanation.json")


def _explain_with_progress(
    client: Client, description: ModelDescription, image: Path, options: InversionOptions, frames: int | None
) -> Explanation:
    with_uncertainty = options.restarts is not None and options.restarts > 1
    maps = [kind for kind in MapKind if kind is not MapKind.UNCERTAINTY or with_uncertainty]
    console = standard_error()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(image.name, total=None)

        def show(progress: InversionProgress) -> None:
            searching = progress.phase is ProgressPhase.POSITIVE_REALIZATION
            doing = f"{image.name}, positive realization" if searching else image.name
            bar.update(task, description=doing, completed=progress.steps_taken, total=progress.steps_total)

        return client.explain_stream(
            image,
            on_progress=show,
            model=description.model.name,
            version=description.model.version,
            steps=options.steps,
            learning_rate=options.learning_rate,
            reconstruction_weight=options.reconstruction_weight,
            restarts=options.restarts,
            seed=options.seed,
            maps=maps,
            trajectory=frames,
        )
