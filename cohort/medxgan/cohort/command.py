"""The command `medxgan cohort`."""

import os
import secrets
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from medxgan.client.command.connection import (
    Access,
    AuthorityOption,
    CertificateOption,
    KeyOption,
    ModelsOption,
    Provider,
    ProviderOption,
    ServerOption,
    TlsOption,
    TokenFileOption,
    refuse_misplaced,
)
from medxgan.client.command.terminal import FAILED, complain, known_errors, standard_error
from medxgan.client.errors import needed_extra
from medxgan.client.results import InversionSettings
from medxgan.client.vocabulary import Solver
from medxgan.cohort.endpoint import Endpoint, Token
from medxgan.cohort.engines.engine import Engine
from medxgan.cohort.engines.pool import pool
from medxgan.cohort.engines.processes import processes
from medxgan.cohort.errors import CohortError, RunFolderError
from medxgan.cohort.figures import Region
from medxgan.cohort.job import Job
from medxgan.cohort.progress import progress
from medxgan.cohort.report.page import write_report
from medxgan.cohort.report.tally import Tally, tally_run
from medxgan.cohort.run_folder import RunFolder, errors_of_the_folder
from medxgan.cohort.sources.choosing import Source
from medxgan.cohort.sources.listing import Columns
from medxgan.cohort.wish import Wish, manifest_of


def cohort(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, with those in it; a list of paths (text, CSV, TSV or Parquet); or a query of an archive by "
            "DICOMweb, such as 'https://host/dicom-web?ModalitiesInStudy=CR&StudyDate=20260101-'.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder of the run. Where a run has begun there, it goes on."),
    ],
    model: Annotated[str, typer.Option(help="Name of the model; the server's default if left out.")] = "",
    version: Annotated[str, typer.Option(help="Version of the model; the highest if left out.")] = "",
    server: ServerOption = None,
    models: ModelsOption = None,
    provider: ProviderOption = Provider.AUTO,
    tls: TlsOption = False,
    tls_authority: AuthorityOption = None,
    tls_certificate: CertificateOption = None,
    tls_key: KeyOption = None,
    token_file: TokenFileOption = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Explain on a cluster of Ray: its address, auto, or local for one of this machine alone.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that explain, each with a copy of the model; with --ray, those of the cluster. As many as "
            "this machine has cores if left out; with an accelerator, 1 and a large --batch do more.",
        ),
    ] = None,
    batch: Annotated[
        int,
        typer.Option(
            min=1,
            help="Films that advance together on each copy. With 1 a film's result is the same to the bit, whatever "
            "films are beside it.",
        ),
    ] = 1,
    requests: Annotated[
        int | None,
        typer.Option(min=1, help="Films that are with a server at once; enough to keep it busy if left out."),
    ] = None,
    map_names: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME",
            help="A map to keep, such as difference or grad-cam. May be given several times. If left out: original, "
            "reconstruction, negative-realization and difference; the default ones of a model without a generator.",
            show_default=False,
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="TOP,LEFT,BOTTOM,RIGHT",
            help="A rectangle in shares of x, 0 to 1: how much of each map lies in it is noted.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=0, help="Gradient steps; the bundle's default if left out.")] = None,
    solver: Annotated[
        Literal["adam", "lbfgs"] | None, typer.Option(help="How the loss is brought down; the bundle's if left out.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="How far the first step moves; the bundle's default if left out.")
    ] = None,
    reconstruction_weight: Annotated[
        float | None, typer.Option(help="Weight of the squared error; the bundle's default if left out.")
    ] = None,
    restarts: Annotated[int | None, typer.Option(min=0, help="Inversions from different starts.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="Seed of the random starts, of every film.")] = 0,
    pattern: Annotated[str, typer.Option(help="Of the names of a folder's files: '*.dcm'.")] = "*",
    path_column: Annotated[
        str | None, typer.Option(help="Column of a list that has the paths; path if left out.", show_default=False)
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(help="Column that is carried through as label; label, if there is one.", show_default=False),
    ] = None,
    source_column: Annotated[
        str | None,
        typer.Option(help="Column that is carried through as source; source, if there is one.", show_default=False),
    ] = None,
    archive_user: Annotated[str | None, typer.Option(help="User of the archive.")] = None,
    archive_password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with the password of that user.")
    ] = None,
    part_films: Annotated[
        int, typer.Option(min=1, max=100_000, help="Films of a part: what is lost of the work when a run is killed.")
    ] = 128,
) -> None:
    """Explain many films: a table with a row for each, their maps, and a report.

    It may be ended or killed at any time: the same command goes on where it was. Research use only. Not a medical
    device.
    """
    refuse_misplaced(context, server, "batch")
    # Processes of a cluster work in folders of their own.
    access = Access(tls, *map(_absolute, (tls_authority, tls_certificate, tls_key, token_file)))
    token = os.environ.get("MEDXGAN_TOKEN") if server is not None else None
    endpoint = Endpoint(
        server, access, _absolute(models), model, provider.value, batch, Token(token) if token else None
    )
    wish = Wish(
        model=model,
        version=version,
        maps=tuple(map_names or ()),
        region=None if region is None else _region(region),
        seed=seed,
        inversion=InversionSettings(
            steps, learning_rate, reconstruction_weight, restarts, None if solver is None else Solver(solver)
        ),
        part_films=part_films,
    )
    try:
        with known_errors():
            columns = Columns(path_column, label_column, source_column)
            films = Source.parse(source, columns, pattern, archive_user, _absolute(archive_password_file))
            _refuse_inside(films, out)
            engine = _engine(ray, endpoint, workers or _cores(), requests)
            tally = _run(films, RunFolder(out.absolute()), wish, endpoint, engine)
    except CohortError as error:
        complain(str(error))
        raise typer.Exit(FAILED) from error
    Console().print(_summary(tally))
    typer.echo(out / "report.html")


def _run(
    source: Source, folder: RunFolder, wish: Wish, endpoint: Endpoint, opened: AbstractContextManager[Engine]
) -> Tally:
    console = standard_error()
    with folder.locked():
        with ExitStack() as stack:
            with console.status("Loading the models"):
                engine = stack.enter_context(opened)
                description = engine.describe(wish.model, wish.version)
            begun = folder.begun()
            salt = secrets.token_hex(16) if begun is None else begun.manifest.salt
            batch = None if endpoint.server else endpoint.batch
            manifest, maps = manifest_of(wish, source, description, batch, salt)
            size = (description.bundle.image.height, description.bundle.image.width)
            with console.status("Listing the films"):
                run = folder.begin_or_continue(manifest, source.films, maps, size)
            job = Job(folder.path, run, source.holder, description.server.limits.message_bytes, engine.requests)
            if parts := folder.open_parts(run):
                done = run.films - sum(run.films_of(part) for part in parts)
                with progress(console, run.films, done) as tell:
                    engine.explain(job, parts, tell)
        with console.status("Writing the report"), errors_of_the_folder():
            tally = tally_run(folder, run, description.bundle)
            write_report(folder.report, tally, run, description.bundle)
    return tally


def _engine(ray: str | None, endpoint: Endpoint, workers: int, requests: int | None) -> AbstractContextManager[Engine]:
    if ray is not None:
        with needed_extra("`medxgan cohort --ray`", "ray"):
            from medxgan.cohort.engines.ray_data import ray_data
        return ray_data(ray, endpoint, workers, requests)
    if endpoint.server is not None or endpoint.gpus or workers == 1:
        return pool(endpoint, workers, requests)
    return processes(endpoint, workers, requests)


def _cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _region(text: str) -> Region:
    try:
        return Region.parse(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"expected TOP,LEFT,BOTTOM,RIGHT in shares from 0 to 1, got {text!r}", param_hint="--region"
        ) from error


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()


def _refuse_inside(source: Source, out: Path) -> None:
    if source.path is not None and out.resolve().is_relative_to(source.path.resolve()):
        raise RunFolderError("--out: expected a folder outside of SOURCE, whose files are films")


def _summary(tally: Tally) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_row("films", f"{tally.films}")
    for verdict, count in tally.verdicts.most_common():
        table.add_row(f"  {verdict.replace('_', ' ')}", f"{count}")
    for code, count in tally.errors.most_common():
        table.add_row(f"  error: {code.replace('_', ' ')}", f"{count}")
    return table
