"""The `medxgan` command."""

import os
from importlib.metadata import version
from typing import Annotated

import typer

from medxgan.client.commands.explain import explain
from medxgan.client.commands.lent import LENT_COMMANDS, mount
from medxgan.client.commands.models import models

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(explain)
app.command()(models)
for lent in LENT_COMMANDS:
    mount(app, lent)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"medxgan {version('medxgan')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Explain a classifier of medical images by the same patient without the pathology.

    Research use only. Not a medical device.
    """


def main() -> None:
    """Run the command."""
    # gRPC's own log tells of every connection that ends; what concerns a user comes as an error of ours.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    app()
