"""The command `medxgan evaluate`."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from medxgan.bundle import BundleError, load_bundle
from medxgan.evaluation.bundle_figures import ANATOMIES
from medxgan.evaluation.errors import EvaluationError, SubjectError
from medxgan.evaluation.evaluation import evaluate_bundle
from medxgan.evaluation.images import Split, data_of_bundle, data_of_file
from medxgan.evaluation.report.writing import write_report
from medxgan.evaluation.runs import evaluate_run, seal_bundle
from medxgan.evaluation.settings import EvaluationSettings, Shortcuts
from medxgan.evaluation.summary import ALL, Report
from medxgan.export.errors import ExportError
from medxgan.server.engine.providers import ProviderChoice
from medxgan.server.errors import MedxganError
from medxgan.training.data.errors import DataError
from medxgan.training.data.source import DataConfig
from medxgan.training.runs import Run, RunError
from medxgan.v1.bundle_pb2 import Metric

FAILED, USAGE, INTERRUPTED = 1, 2, 130

KNOWN_ERRORS = (EvaluationError, BundleError, ExportError, MedxganError, RunError, DataError, OSError)


def evaluate(
    subject: Annotated[Path, typer.Argument(metavar="RUN|BUNDLE", help="Run folder, or bundle folder NAME/VERSION.")],
    data: Annotated[Path, typer.Option("--data", help="Folder that paths of the data section start from.")] = Path(
        "data"
    ),
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder of the report; made, or gone on with.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file whose data section to use, not the subject's own.")
    ] = None,
    split: Annotated[Split, typer.Option("--split", help="Which images.")] = "test",
    methods: Annotated[
        list[str] | None, typer.Option("--methods", help="Methods, by comma; all that the bundle serves if left out.")
    ] = None,
    images: Annotated[int | None, typer.Option("--images", min=1, help="Most true positives to explain.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")] = 0,
    provider: Annotated[ProviderChoice, typer.Option("--provider", help="What runs the bundle.")] = "auto",
    threads: Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0: as many as there are cores.")] = 1,
    sanity_images: Annotated[
        int, typer.Option("--sanity-images", min=0, help="Images of the sanity check; 0 leaves it out.")
    ] = 16,
    shortcuts: Annotated[
        Shortcuts | None,
        typer.Option("--shortcuts", help="Measure what falls on marks, frame and all but the lungs, of such images."),
    ] = None,
    anatomies: Annotated[
        int, typer.Option("--anatomies", min=1, help="Sampled for disentanglement; fewer for a large classifier.")
    ] = ANATOMIES,
    sheet_images: Annotated[
        int, typer.Option("--sheet-images", min=0, help="Rows of the contact sheet; 0 leaves it out.")
    ] = 8,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew, whatever the run and the report's folder hold.")
    ] = False,
    seal: Annotated[bool, typer.Option("--seal", help="Write thresholds, figures and card of a draft bundle.")] = False,
    reseal: Annotated[
        bool, typer.Option("--reseal", help="The same of a bundle that has figures, if it is not released yet.")
    ] = False,
) -> None:
    """Measure a training run or a bundle as it is served, and rank every explainer on held-out images.

    A run is exported to a draft bundle, RUN/draft, and measured by it: thresholds, figures and card go into the draft,
    of which `medxgan export` makes the bundle. With --report, every method is compared on the true positives of the
    split, as the server would explain them. An interrupted report goes on where it was when it is called again.
    """
    settings = EvaluationSettings(
        split=split,
        methods=tuple(name for each in methods or () for name in each.split(",") if name),
        images=images,
        seed=seed,
        provider=provider,
        threads=threads,
        sanity_images=sanity_images,
        shortcuts=shortcuts,
        sheet_images=sheet_images,
    )
    command = _command(subject, data, report, config, settings)
    try:
        if (subject / "bundle.json").exists():
            if report is None and not (seal or reseal):
                raise SubjectError("--report: expected a folder for the report of a bundle")
            section = data_of_file(config) if config else data_of_bundle(load_bundle(subject).description)
            if seal or reseal:
                with _console().status("Measuring the bundle"):
                    seal_bundle(subject, section, data, provider, threads, anatomies=anatomies, again=reseal)
                _print_figures(load_bundle(subject).description.metrics)
            bundle = subject
        elif (subject / "options.json").exists():
            section = data_of_file(config) if config else Run.open(subject).configuration.data
            with _console().status("Exporting a draft of the run's bundle, and measuring it as it is served"):
                draft = evaluate_run(subject, data, provider, threads, anatomies=anatomies, fresh=fresh)
            _print_figures(draft.description.metrics)
            bundle = draft.folder
        else:
            raise SubjectError(
                f"{subject}: expected a run with options.json, or a bundle folder NAME/VERSION with bundle.json"
            )
        if report is not None:
            _report(bundle, section, data, report, settings, fresh, command)
    except KNOWN_ERRORS as error:
        _console().print(f"[red]error:[/red] {_escaped(error)}", highlight=False, soft_wrap=True)
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt:
        _console().print("interrupted: call again to go on", highlight=False)
        raise typer.Exit(INTERRUPTED) from None


def _command(subject: Path, data: Path, report: Path | None, config: Path | None, settings: EvaluationSettings) -> str:
    """The command that makes the same report: what differs from the defaults."""
    options: dict[str, object] = {"data": data, "config": config, "report": report}
    default = EvaluationSettings()
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value != getattr(default, field.name):
            options[field.name.replace("_", "-")] = ",".join(value) if isinstance(value, tuple) else value
    words = [text for name, value in options.items() if value is not None for text in (f"--{name}", str(value))]
    return shlex.join(["medxgan", "evaluate", str(subject), *words])


def _print_figures(metrics: Sequence[Metric]) -> None:
    table = Table("figure", "value", "measured on")
    for metric in metrics:
        table.add_row(metric.name, f"{metric.value:.4f}", metric.measured_on)
    Console().print(table)
    if all(metric.name != "classifier_auc" for metric in metrics):
        _console().print("classifier_auc is left out: the test split has images of one class", highlight=False)


def _report(
    bundle: Path,
    section: DataConfig,
    data: Path,
    folder: Path,
    settings: EvaluationSettings,
    fresh: bool,
    command: str,
) -> None:
    with _progress() as progress:
        task = progress.add_task("explaining", total=None)
        outcome = evaluate_bundle(
            bundle,
            section,
            data,
            folder,
            settings,
            fresh=fresh,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    written = write_report(outcome, folder, command)
    Console().print(_ranking(written))
    Console().print(f"{folder / 'report.md'}", highlight=False, soft_wrap=True)


def _ranking(report: Report) -> Table:
    columns = ("average_precision", "deletion_auc", "insertion_auc")
    table = Table("method", "mean rank", *(column.replace("_", " ") for column in columns))
    for name, ranks in report["ranking"].items():
        figures = report["methods"][name][ALL]
        cells = (f"{figures[column]['value']:.3f}" if column in figures else "n/a" for column in columns)
        table.add_row(name, f"{ranks['mean']:.1f}", *cells)
    return table


@contextmanager
def _progress() -> Iterator[Progress]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=_console(),
    ) as progress:
        yield progress


def _console() -> Console:
    return Console(stderr=True)


def _escaped(error: Exception) -> str:
    return str(error).replace("[", r"\[")
