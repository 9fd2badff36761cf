"""`medxgan models`: what a server serves, what is on this machine, and how more gets there."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from medxgan.client.command.bundle_search import bundles_in, model_folders, user_models
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
    connect,
)
from medxgan.client.command.terminal import known_errors

models_app = typer.Typer(invoke_without_command=True)


@models_app.callback()
def models(
    context: typer.Context,
    server: ServerOption = None,
    models: ModelsOption = None,
    provider: ProviderOption = Provider.AUTO,
    tls: TlsOption = False,
    tls_authority: AuthorityOption = None,
    tls_certificate: CertificateOption = None,
    tls_key: KeyOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """List the models that a server serves; list or install bundles on this machine."""
    if context.invoked_subcommand is not None:
        return
    access = Access(tls, tls_authority, tls_certificate, tls_key, token_file)
    with known_errors(), connect(context, server, models, provider, access) as client:
        served = client.models()
    table = _table("model", "images", "positive", "negative", "licence", "runs on")
    for entry in served:
        runs_on = entry.execution.provider
        if entry.execution.fallback:
            runs_on += f" ({entry.execution.fallback_reason})"
        table.add_row(
            f"{entry.model.name} {entry.model.version}" + (" (default)" if entry.is_default else ""),
            entry.modality,
            entry.positive_class,
            entry.negative_class,
            entry.license,
            runs_on,
        )
    Console().print(table)


@models_app.command("list")
def list_bundles(models: ModelsOption = None) -> None:
    """List the bundles on this machine, without a server; the command uses the first folder with what is asked for."""
    table = _table("model", "images", "positive", "licence", "folder")
    for folder in model_folders() if models is None else (models,):
        for bundle in bundles_in(folder):
            name = f"{bundle.parent.name} {bundle.name}"
            try:
                described = json.loads((bundle / "bundle.json").read_bytes())
                facts = (
                    described["image"]["modality"],
                    described["classification"]["positive_class"],
                    described["provenance"]["license"],
                )
            except (OSError, ValueError, TypeError, KeyError):
                facts = ("can't be read", "", "")
            table.add_row(name, *map(str, facts), str(folder))
    Console().print(table)


@models_app.command("install")
def install_bundles(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER|ZIP|WHEEL", help="A bundle, or several: a folder, a zip file or a wheel.")
    ],
    into: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to put them; the user's data folder if left out.", show_default=False),
    ] = None,
) -> None:
    """Check bundles and copy them to where `medxgan explain` finds them."""
    with known_errors():
        from medxgan.client.command.install import InstallError, install

        target = user_models() if into is None else into
        try:
            installed = install(source, target)
        except OSError as error:
            raise InstallError(f"{error.filename or source}: {error.strerror or error}") from error
    for name, is_new in installed:
        typer.echo(f"{name} {'installed in' if is_new else 'was there already in'} {target}")


def _table(*headings: str) -> Table:
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
