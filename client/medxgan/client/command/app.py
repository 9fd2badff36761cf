"""The command's subcommands, its own and those of other rooms."""

from importlib.metadata import version
from typing import Annotated

import typer

from medxgan.client.command.explain import explain
from medxgan.client.command.models import models_app
from medxgan.client.command.rooms import SUBCOMMANDS, mount

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(explain)
app.add_typer(models_app, name="models")
for subcommand in SUBCOMMANDS:
    mount(app, subcommand)


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
