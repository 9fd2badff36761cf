"""The command `medxgan serve`."""

import asyncio
import tomllib
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from typer.models import OptionInfo

from medxgan.bundle import BundleError
from medxgan.server.engine.providers import ProviderChoice
from medxgan.server.engine.sessions import share_between_sessions
from medxgan.server.errors import UnsupportedError
from medxgan.server.log import logging_to_standard_error
from medxgan.server.serving import load_models, serve_until_signal
from medxgan.server.settings import LogFormat, LogLevel, ServerSettings, describe


def _option(name: str) -> OptionInfo:
    """The option of a setting: what it means and what it is by default stand with the setting."""
    field = ServerSettings.model_fields[name]
    default = "" if field.default is None else f" Default: {field.default}."
    option: OptionInfo = typer.Option(help=f"{field.description}{default}", show_default=False)
    return option


def serve(
    config: Annotated[Path | None, _option("config")] = None,
    models: Annotated[Path | None, _option("models")] = None,
    strict: Annotated[bool | None, _option("strict")] = None,
    default_model: Annotated[str | None, _option("default_model")] = None,
    address: Annotated[str | None, _option("address")] = None,
    provider: Annotated[ProviderChoice | None, _option("provider")] = None,
    threads: Annotated[int | None, _option("threads")] = None,
    maximum_batch: Annotated[int | None, _option("maximum_batch")] = None,
    maximum_waiting: Annotated[int | None, _option("maximum_waiting")] = None,
    caller_share: Annotated[float | None, _option("caller_share")] = None,
    retry_delay_seconds: Annotated[float | None, _option("retry_delay_seconds")] = None,
    maximum_message_bytes: Annotated[int | None, _option("maximum_message_bytes")] = None,
    maximum_receiving: Annotated[int | None, _option("maximum_receiving")] = None,
    maximum_receiving_per_caller: Annotated[int | None, _option("maximum_receiving_per_caller")] = None,
    maximum_held_bytes: Annotated[int | None, _option("maximum_held_bytes")] = None,
    maximum_held_bytes_per_caller: Annotated[int | None, _option("maximum_held_bytes_per_caller")] = None,
    upload_timeout_seconds: Annotated[float | None, _option("upload_timeout_seconds")] = None,
    maximum_side: Annotated[int | None, _option("maximum_side")] = None,
    maximum_pixels: Annotated[int | None, _option("maximum_pixels")] = None,
    maximum_decompressed_bytes: Annotated[int | None, _option("maximum_decompressed_bytes")] = None,
    decoders: Annotated[int | None, _option("decoders")] = None,
    decoder_memory_bytes: Annotated[int | None, _option("decoder_memory_bytes")] = None,
    decoder_cpu_seconds: Annotated[int | None, _option("decoder_cpu_seconds")] = None,
    decoder_seconds: Annotated[float | None, _option("decoder_seconds")] = None,
    shutdown_grace_seconds: Annotated[float | None, _option("shutdown_grace_seconds")] = None,
    log_format: Annotated[LogFormat | None, _option("log_format")] = None,
    log_level: Annotated[LogLevel | None, _option("log_level")] = None,
) -> None:
    """Serve the models of a folder over gRPC until SIGTERM or Ctrl-C.

    An option not given here comes from the environment (MEDXGAN_MODELS for --models), else from the configuration file.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    try:
        settings = ServerSettings(**given)
    except ValidationError as error:
        raise typer.BadParameter(describe(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise typer.BadParameter(f"config: not a TOML file ({error})") from error
    try:
        with logging_to_standard_error(settings.log_format, settings.log_level):
            share_between_sessions(settings.threads)
            asyncio.run(serve_until_signal(settings, load_models(settings)))
    except (BundleError, OSError, UnsupportedError) as error:
        typer.echo(f"medxgan serve: {error}", err=True)
        raise typer.Exit(1) from error
