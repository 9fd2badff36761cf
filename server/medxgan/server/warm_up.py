"""The command `medxgan warm-up`: what takes minutes is done before a server is started."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from medxgan.bundle import BundleError, LoadedBundle
from medxgan.server.command import option, read_settings
from medxgan.server.engine.port import Execution
from medxgan.server.engine.providers import ProviderChoice
from medxgan.server.engine.replication import Replication, open_engines
from medxgan.server.engine.sessions import share_between_sessions
from medxgan.server.errors import UnsupportedError
from medxgan.server.log import logging_to_standard_error
from medxgan.server.services import model_folder, model_loader
from medxgan.server.settings import LogFormat, LogLevel, ServerSettings


def warm_up(
    config: Annotated[Path | None, option("config")] = None,
    models: Annotated[Path | None, option("models")] = None,
    trusted_keys: Annotated[Path | None, option("trusted_keys")] = None,
    require_signature: Annotated[bool | None, option("require_signature")] = None,
    version_policy: Annotated[str | None, option("version_policy")] = None,
    provider: Annotated[ProviderChoice | None, option("provider")] = None,
    devices: Annotated[str | None, option("devices")] = None,
    half_precision: Annotated[bool | None, option("half_precision")] = None,
    cache: Annotated[Path | None, option("cache")] = None,
    maximum_batch: Annotated[int | None, option("maximum_batch")] = None,
    log_format: Annotated[LogFormat | None, option("log_format")] = None,
    log_level: Annotated[LogLevel | None, option("log_level")] = None,
) -> None:
    """Make everything ready that a server of these models needs on this machine, and check it.

    Builds TensorRT's engines for every size of batch, which takes minutes and is kept; compares what the accelerator
    computes with the CPU; and says of each model what runs it. Call it with the settings of the server: another
    version, device, precision or maximum batch needs other engines.

    Ends with status 1 where less runs than was asked for.
    """
    settings = read_settings(locals())
    console = Console()
    try:
        with logging_to_standard_error(settings.log_format, settings.log_level):
            share_between_sessions(settings.threads)
            met = _make_ready(settings, console)
    except (BundleError, OSError, UnsupportedError) as error:
        typer.echo(f"medxgan warm-up: {error}", err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(0 if met else 1)


def _make_ready(settings: ServerSettings, console: Console) -> bool:
    """Make every model ready; whether what was asked for runs them all."""
    folders, loader = model_folder(settings).bundles(), model_loader(settings)
    met = True
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(folders))
        for folder in folders:
            bundle = loader.read(folder)
            progress.update(task, description=bundle.name)
            began = time.perf_counter()
            execution = _made_ready(bundle, loader.replication)
            seconds = time.perf_counter() - began
            reason = f" ({execution.fallback_reason})" if execution.fallback_reason else ""
            console.print(f"{bundle.name}: {execution.provider}{reason}, ready in {seconds:.1f} s", soft_wrap=True)
            met = met and not reason
            progress.advance(task)
    return met


def _made_ready(bundle: LoadedBundle, replication: Replication) -> Execution:
    engines = open_engines(bundle, replication)
    for engine in engines:
        engine.warm_up()
    return engines[0].execution
