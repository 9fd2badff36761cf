"""One image from the server's answer to the files about it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from medxgan.client.client import Client
from medxgan.client.command.chosen_maps import ChosenMaps
from medxgan.client.command.summary import explanation_table
from medxgan.client.command.terminal import complain, standard_error
from medxgan.client.geometry import GeometryError, PixelSpacing
from medxgan.client.images import Image
from medxgan.client.pictures.animation import write_animation
from medxgan.client.pictures.appearance import PICTURES
from medxgan.client.pictures.attribution_panel import write_attribution_panel, write_comparison
from medxgan.client.pictures.files import drawable, write_pictures
from medxgan.client.pictures.panel import write_panel
from medxgan.client.pictures.positive_panel import has_positive_search, write_positive_panel
from medxgan.client.pictures.report import write_report
from medxgan.client.results import Explanation, ModelDescription, Settings
from medxgan.client.results import Progress as InversionProgress
from medxgan.client.vocabulary import MapKind, Priority, ProgressPhase


@dataclass(frozen=True)
class ImageFile:
    """An image that is to be explained.

    Attributes:
        label: what messages call it.
        name: of the file.
        read: gives its content; raises OSError or StudyError.
    """

    label: str
    name: str
    read: Callable[[], bytes]

    @classmethod
    def at(cls, path: Path) -> "ImageFile":
        """The file at a path."""
        return cls(str(path), path.name, path.read_bytes)


@dataclass(frozen=True)
class Wish:
    """What a caller wants of every image.

    Attributes:
        maps: the maps to ask for.
        settings: of the explanation.
        trajectory: pictures of the trajectory; None for none.
        priority: how urgent it is.
        frame: of a multi-frame object; None for the only one.
        pixel_spacing: where the file does not state it.
        film_size: whether maps are also written at the size of the film.
        name_files: whether the report names the file.
    """

    maps: ChosenMaps
    settings: Settings
    trajectory: int | None
    priority: Priority
    frame: int | None
    pixel_spacing: PixelSpacing | None
    film_size: bool
    name_files: bool


def explain_image(
    client: Client, description: ModelDescription, image: ImageFile, folder: Path, wish: Wish
) -> tuple[Path, Table]:
    """Explain `image` and write its files into `folder`, which is made where it does not exist.

    Returns:
        The path of the sheet that shows most, or of the report where nothing can be drawn, and a table for the
        terminal.
    """
    content = image.read()
    explanation = _explain_with_progress(client, description, image.name, content, wish)
    positive_class = description.bundle.classification.positive_class
    folder.mkdir(parents=True, exist_ok=True)
    try:
        files = write_pictures(explanation, folder, film_size=wish.film_size)
    except GeometryError as error:
        complain(f"{image.label}: no maps at the size of the film: {error}")
        files = write_pictures(explanation, folder)
    report = folder / "explanation.json"
    write_report(explanation, files, report, image=content, image_name=image.name if wish.name_files else "")
    sheet = _write_sheets(explanation, wish.maps, folder, positive_class) or report
    return sheet, explanation_table(explanation, image=image.label, positive_class=positive_class)


def _write_sheets(explanation: Explanation, chosen: ChosenMaps, folder: Path, positive_class: str) -> Path | None:
    """Write what shows several maps at once; gives the path of what shows most."""
    shown = [kind for kind, entry in explanation.maps.items() if drawable(entry)]
    last = None
    if chosen.counterpart:
        last = folder / "panel.png"
        write_panel(explanation, last, positive_class=positive_class)
        needed = (MapKind.ORIGINAL, MapKind.NEGATIVE_REALIZATION, MapKind.POSITIVE_REALIZATION)
        if has_positive_search(explanation) and all(kind in shown for kind in needed):
            write_positive_panel(explanation, folder / "positive-panel.png", positive_class=positive_class)
    if explanation.trajectory and all(frame.values is not None for frame in explanation.trajectory):
        write_animation(explanation.trajectory, explanation.scores.decision_threshold, folder / "trajectory.gif")
    singled_out = [
        kind for kind in chosen.singled_out if kind in shown and kind not in PICTURES and explanation[kind].ndim == 2
    ]
    if singled_out and MapKind.ORIGINAL in shown:
        if len(singled_out) == 1 and not chosen.counterpart:
            last = folder / "panel.png"
            write_attribution_panel(explanation, singled_out[0], last)
        else:
            last = folder / "comparison.png"
            write_comparison(explanation, singled_out, last)
    return last


def _explain_with_progress(
    client: Client, description: ModelDescription, name: str, content: bytes, wish: Wish
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
        task = bar.add_task(name, total=None)

        def show(progress: InversionProgress) -> None:
            searching = progress.phase is ProgressPhase.POSITIVE_REALIZATION
            doing = f"{name}, positive realization" if searching else name
            bar.update(task, description=doing, completed=progress.steps_taken, total=progress.steps_total)

        return client.explain_stream(
            Image(content, frame=wish.frame, pixel_spacing=wish.pixel_spacing),
            on_progress=show,
            model=description.model.name,
            version=description.model.version,
            maps=wish.maps.kinds,
            settings=wish.settings,
            trajectory=wish.trajectory,
            priority=wish.priority,
        )
