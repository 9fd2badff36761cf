"""The command `medxgan gateway`."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from medxgan.gateway.clock import system_clock
from medxgan.gateway.journal.database import Database, journal_file
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.records import STUCK, State
from medxgan.gateway.settings import SettingsError, read_settings
from medxgan.gateway.telemetry.log import LogFormat, get_logger, logging_to_standard_error
from medxgan.gateway.telemetry.status import Status

log = get_logger(__name__)

gateway_app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

ConfigOption = Annotated[
    Path, typer.Option("--config", envvar="MEDXGAN_GATEWAY_CONFIG", help="TOML file of the gateway's settings.")
]


@gateway_app.callback()
def root() -> None:
    """Films in from a picture archive, explanations of them back.

    Research use only. Not a medical device.
    """


@gateway_app.command()
def run(
    config: ConfigOption,
    log_format: Annotated[LogFormat, typer.Option(help="How log lines are written to standard error.")] = "console",
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; what is under way is ended first."""
    # The other subcommands do without what takes long to load.
    from medxgan.client import CredentialsError
    from medxgan.gateway.gateway import Gateway, RunningError

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = read_settings(config)
        with logging_to_standard_error(log_format), Gateway(settings) as gateway:
            log.info("gateway runs", dicom_port=gateway.dicom_port if settings.dicom is not None else None)
            stop.wait()
            log.info("gateway stops")
    except (CredentialsError, OSError, RunningError, SettingsError, ValueError) as error:
        typer.echo(f"medxgan gateway: {error}", err=True)
        raise typer.Exit(1) from error


@gateway_app.command()
def status(
    config: ConfigOption, as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False
) -> None:
    """Show how many films have each state and why, and how long the oldest has waited."""
    with _journal(config) as journal:
        found = Status.of(journal, system_clock)
    typer.echo(json.dumps(found.as_dict()) if as_json else "\n".join(found.lines()))


@gateway_app.command("list")
def list_films(
    config: ConfigOption,
    state: Annotated[
        list[State] | None,
        typer.Option(help="State of the films to list; may be given several times."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Films to list at most, the last that changed first.")] = 100,
) -> None:
    """List films: number, state, when it changed, failed tries, SOP Instance UID, reason.

    Without --state, the dead-letter list: what failed or is dead.
    """
    with _journal(config) as journal:
        films = journal.films(state or STUCK, limit)
    for film in films:
        changed = datetime.fromtimestamp(film.changed, UTC).isoformat(timespec="seconds")
        typer.echo(f"{film.id}\t{film.state}\t{changed}\t{film.attempts}\t{film.sop_instance_uid}\t{film.reason}")


@gateway_app.command()
def retry(
    config: ConfigOption,
    films: Annotated[list[int] | None, typer.Argument(help="Numbers of films, as listed.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every film that failed or is dead.")] = False,
) -> None:
    """Let films that failed or are dead go on where they stopped; a running gateway takes them up within a second."""
    if bool(films) == every:
        raise typer.BadParameter("expected the numbers of films, or --all", param_hint="FILMS")
    with _journal(config) as journal:
        taken = journal.retry(None if every else films)
    typer.echo(f"{taken} films go on")
    if not every and films is not None and taken < len(set(films)):
        typer.echo("medxgan gateway: the others are not on the dead-letter list", err=True)
        raise typer.Exit(1)


@contextmanager
def _journal(config: Path) -> Iterator[Journal]:
    try:
        settings = read_settings(config)
    except SettingsError as error:
        typer.echo(f"medxgan gateway: {error}", err=True)
        raise typer.Exit(1) from error
    file = journal_file(settings.folder)
    if not file.exists():
        typer.echo(f"medxgan gateway: {settings.folder}: no gateway has run there", err=True)
        raise typer.Exit(1)
    database = Database(file)
    try:
        yield Journal(database)
    finally:
        database.close()
