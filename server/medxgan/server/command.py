"""The command `medxgan serve`."""

import asyncio
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from typer.models import OptionInfo

from medxgan.bundle import BundleError
from medxgan.server.descriptors import allow_connections
from medxgan.server.engine.providers import ProviderChoice
from medxgan.server.engine.replication import shared_out
from medxgan.server.engine.sessions import share_between_sessions
from medxgan.server.errors import AuditError, UnsupportedError
from medxgan.server.identity.reloading import SecurityFileError
from medxgan.server.log import logging_to_standard_error
from medxgan.server.misspelt import misspelt_variables
from medxgan.server.serving import serve_until_signal
from medxgan.server.settings import (
    LogFormat,
    LogLevel,
    ModelControlMode,
    Reflection,
    ServerSettings,
    SharedMemoryChoice,
    describe,
)


def option(name: str) -> OptionInfo:
    """The option of a setting: what it means and what it is by default stand with the setting."""
    field = ServerSettings.model_fields[name]
    default = "" if field.default is None else f" Default: {field.default}."
    found: OptionInfo = typer.Option(help=f"{field.description}{default}", show_default=False)
    return found


def read_settings(options: Mapping[str, object]) -> ServerSettings:
    """The settings in force.

    Args:
        options: those that the command line gave; None stands for one that it did not.

    Raises:
        typer.BadParameter: naming the settings that are wrong.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if misspelt := misspelt_variables(os.environ, ServerSettings.model_fields):
        raise typer.BadParameter(
            "; ".join(f"{name}: no setting; is {meant} meant?" for name, meant in misspelt.items())
        )
    try:
        return ServerSettings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise typer.BadParameter(describe(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise typer.BadParameter(f"config: not a TOML file ({error})") from error


def serve(
    config: Annotated[Path | None, option("config")] = None,
    models: Annotated[Path | None, option("models")] = None,
    strict: Annotated[bool | None, option("strict")] = None,
    default_model: Annotated[str | None, option("default_model")] = None,
    trusted_keys: Annotated[Path | None, option("trusted_keys")] = None,
    require_signature: Annotated[bool | None, option("require_signature")] = None,
    version_policy: Annotated[str | None, option("version_policy")] = None,
    model_control: Annotated[ModelControlMode | None, option("model_control")] = None,
    load_models: Annotated[str | None, option("load_models")] = None,
    model_poll_seconds: Annotated[float | None, option("model_poll_seconds")] = None,
    address: Annotated[str | None, option("address")] = None,
    tls_certificate: Annotated[Path | None, option("tls_certificate")] = None,
    tls_key: Annotated[Path | None, option("tls_key")] = None,
    tls_client_authority: Annotated[Path | None, option("tls_client_authority")] = None,
    identities: Annotated[Path | None, option("identities")] = None,
    insecure: Annotated[bool | None, option("insecure")] = None,
    reflection: Annotated[Reflection | None, option("reflection")] = None,
    maximum_connections: Annotated[int | None, option("maximum_connections")] = None,
    connection_age_seconds: Annotated[float | None, option("connection_age_seconds")] = None,
    connection_idle_seconds: Annotated[float | None, option("connection_idle_seconds")] = None,
    deadline_ceiling_seconds: Annotated[float | None, option("deadline_ceiling_seconds")] = None,
    maximum_requests_per_caller: Annotated[int | None, option("maximum_requests_per_caller")] = None,
    maximum_rate_per_caller: Annotated[float | None, option("maximum_rate_per_caller")] = None,
    provider: Annotated[ProviderChoice | None, option("provider")] = None,
    threads: Annotated[int | None, option("threads")] = None,
    devices: Annotated[str | None, option("devices")] = None,
    replicas: Annotated[int | None, option("replicas")] = None,
    half_precision: Annotated[bool | None, option("half_precision")] = None,
    cache: Annotated[Path | None, option("cache")] = None,
    maximum_batch: Annotated[int | None, option("maximum_batch")] = None,
    maximum_waiting: Annotated[int | None, option("maximum_waiting")] = None,
    caller_share: Annotated[float | None, option("caller_share")] = None,
    retry_delay_seconds: Annotated[float | None, option("retry_delay_seconds")] = None,
    maximum_message_bytes: Annotated[int | None, option("maximum_message_bytes")] = None,
    maximum_receiving: Annotated[int | None, option("maximum_receiving")] = None,
    maximum_receiving_per_caller: Annotated[int | None, option("maximum_receiving_per_caller")] = None,
    maximum_held_bytes: Annotated[int | None, option("maximum_held_bytes")] = None,
    maximum_held_bytes_per_caller: Annotated[int | None, option("maximum_held_bytes_per_caller")] = None,
    upload_timeout_seconds: Annotated[float | None, option("upload_timeout_seconds")] = None,
    maximum_side: Annotated[int | None, option("maximum_side")] = None,
    maximum_pixels: Annotated[int | None, option("maximum_pixels")] = None,
    maximum_decompressed_bytes: Annotated[int | None, option("maximum_decompressed_bytes")] = None,
    decoders: Annotated[int | None, option("decoders")] = None,
    decoder_memory_bytes: Annotated[int | None, option("decoder_memory_bytes")] = None,
    decoder_cpu_seconds: Annotated[int | None, option("decoder_cpu_seconds")] = None,
    decoder_seconds: Annotated[float | None, option("decoder_seconds")] = None,
    open_inference: Annotated[bool | None, option("open_inference")] = None,
    shared_memory: Annotated[SharedMemoryChoice | None, option("shared_memory")] = None,
    maximum_streams: Annotated[int | None, option("maximum_streams")] = None,
    maximum_streams_per_caller: Annotated[int | None, option("maximum_streams_per_caller")] = None,
    stream_idle_seconds: Annotated[float | None, option("stream_idle_seconds")] = None,
    maximum_memory_bytes: Annotated[int | None, option("maximum_memory_bytes")] = None,
    shutdown_grace_seconds: Annotated[float | None, option("shutdown_grace_seconds")] = None,
    telemetry: Annotated[str | None, option("telemetry")] = None,
    traces_endpoint: Annotated[str | None, option("traces_endpoint")] = None,
    audit: Annotated[Path | None, option("audit")] = None,
    ray: Annotated[str | None, option("ray")] = None,
    ray_minimum_replicas: Annotated[int | None, option("ray_minimum_replicas")] = None,
    ray_maximum_replicas: Annotated[int | None, option("ray_maximum_replicas")] = None,
    ray_target_requests: Annotated[float | None, option("ray_target_requests")] = None,
    ray_queue: Annotated[int | None, option("ray_queue")] = None,
    ray_gpus: Annotated[float | None, option("ray_gpus")] = None,
    ray_models: Annotated[int | None, option("ray_models")] = None,
    log_format: Annotated[LogFormat | None, option("log_format")] = None,
    log_level: Annotated[LogLevel | None, option("log_level")] = None,
) -> None:
    """Serve the models of a folder over gRPC until SIGTERM or Ctrl-C.

    An option not given here comes from the environment (MEDXGAN_MODELS for --models), else from the configuration file.
    """
    settings = read_settings(locals())
    try:
        with logging_to_standard_error(settings.log_format, settings.log_level):
            if settings.ray:
                _serve_on_ray(settings)
                return
            allow_connections(settings.maximum_connections)
            threads, replicas = shared_out(settings.provider, settings.threads, settings.replicas)
            settings = settings.model_copy(update={"threads": threads, "replicas": replicas})
            share_between_sessions(threads)
            asyncio.run(serve_until_signal(settings))
    except (AuditError, BundleError, OSError, SecurityFileError, UnsupportedError) as error:
        typer.echo(f"medxgan serve: {error}", err=True)
        raise typer.Exit(1) from error


def _serve_on_ray(settings: ServerSettings) -> None:
    try:
        from medxgan.server.cluster.running import serve_on_ray
    except ModuleNotFoundError as error:
        raise UnsupportedError("ray: serving on Ray takes Ray Serve: pip install 'medxgan[ray]'") from error
    serve_on_ray(settings)
