"""Subcommands that other rooms lend: listed without being imported, imported when called."""

from collections.abc import Callable
from dataclasses import dataclass

import typer

from medxgan.client.commands.terminal import known_errors
from medxgan.client.rooms import load_room


@dataclass(frozen=True)
class LentCommand:
    """A subcommand of another room: the line that the root help shows, and the extra that it needs."""

    name: str
    help: str
    extra: str


LENT_COMMANDS = (
    LentCommand("serve", "Serve a folder of models over gRPC.", "server"),
    LentCommand("train", "Train a classifier, a generator or an encoder.", "training"),
    LentCommand("evaluate", "Measure a training run; rank its explainers on held-out images.", "evaluation"),
    LentCommand("export", "Write a training run as a model bundle.", "export"),
    LentCommand("export-classifier", "Write a classifier that was trained elsewhere as a model bundle.", "export"),
)

# Everything behind the name, `--help` included, is for the room's own command to read.
PASS_THROUGH = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}


def mount(app: typer.Typer, lent: LentCommand) -> None:
    """Add a lent subcommand to `app`."""
    app.command(lent.name, help=lent.help, add_help_option=False, context_settings=PASS_THROUGH)(_caller(lent))


def _caller(lent: LentCommand) -> Callable[[typer.Context], None]:
    def call(context: typer.Context) -> None:
        with known_errors():
            command = load_room("medxgan.commands", lent.name, purpose=f"`medxgan {lent.name}`", extra=lent.extra)
        if not isinstance(command, typer.Typer):
            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            app.command()(command)
            command = app
        command(args=context.args, prog_name=f"medxgan {lent.name}")

    return call
