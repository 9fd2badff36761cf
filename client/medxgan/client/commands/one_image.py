"""One image from the server's answer to the files about it."""

from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from medxgan.client.client import Client
from medxgan.client.commands.summary import attribution_table, explanation_table
from medxgan.client.commands.terminal import standard_error
from medxgan.client.panel import METHOD_NAMES, write_attribution_panel, write_panel
from medxgan.client.pictures import write_attribution_pictures, write_pictures
from medxgan.client.report import write_attribution_report, write_report
from medxgan.client.results import AttributionMethod, Explanation, ModelDescription
from medxgan.client.results import Progress as InversionProgress


@dataclass(frozen=True)
class InversionOptions:
    """What a caller chose for the inversion; None is the bundle's default."""

    steps: int | None
    learning_rate: float | None
    reconstruction_weight: float | None
    seed: int


def explain_image(
    client: Client, description: ModelDescription, image: Path, folder: Path, options: InversionOptions
) -> tuple[Path, Table]:
    """Explain `image` by inversion and write its files into `folder`.

    Returns:
        The path of the panel, and a table for the terminal.
    """
    explanation = _explain_with_progress(client, description, image, options)
    positive_class = description.bundle.classification.positive_class
    panel = folder / "panel.png"
    folder.mkdir(parents=True, exist_ok=True)
    write_pictures(explanation, folder)
    write_report(explanation, folder / "explanation.json")
    write_panel(explanation, panel, positive_class=positive_class)
    return panel, explanation_table(explanation, image=str(image), positive_class=positive_class)


def attribute_image(
    client: Client, description: ModelDescription, image: Path, folder: Path, method: AttributionMethod
) -> tuple[Path, Table]:
    """Attribute the score of `image` by `method`; otherwise as `explain_image`."""
    identity = description.model
    attribution = client.attribute(image, methods=[method], model=identity.name, version=identity.version)
    positive_class = description.bundle.classification.positive_class
    panel = folder / "panel.png"
    folder.mkdir(parents=True, exist_ok=True)
    write_attribution_pictures(attribution, method, folder)
    write_attribution_report(attribution, method, folder / "explanation.json")
    write_attribution_panel(attribution, method, panel, positive_class=positive_class)
    name = METHOD_NAMES[method]
    return panel, attribution_table(attribution, image=str(image), positive_class=positive_class, method=name)


def _explain_with_progress(
    client: Client, description: ModelDescription, image: Path, options: InversionOptions
) -> Explanation:
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
            bar.update(task, completed=progress.steps_taken, total=progress.steps_total)

        return client.explain_stream(
            image,
            on_progress=show,
            model=description.model.name,
            version=description.model.version,
            steps=options.steps,
            learning_rate=options.learning_rate,
            reconstruction_weight=options.reconstruction_weight,
            seed=options.seed,
        )
