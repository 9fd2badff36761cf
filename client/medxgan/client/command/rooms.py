"""What the command uses of other rooms (server, export, gateway and so on): named here, and imported when it is called.

The client imports no room, so that it runs where none is installed.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer

from medxgan.client.command.bundle_search import NoModelsError, find_models
from medxgan.client.command.terminal import known_errors


def found_models(arguments: Sequence[str]) -> list[str]:
    """`--models FOLDER`, where bundles are on this machine, for a server whose caller names no folder."""
    named = any(argument.startswith(("--models", "--config")) for argument in arguments)
    if named or os.environ.keys() & {"MEDXGAN_MODELS", "MEDXGAN_CONFIG"}:
        return []
    try:
        return ["--models", str(find_models(None))]
    except NoModelsError:
        # The server says what it misses, and answers --help.
        return []


@dataclass(frozen=True)
class Subcommand:
    """A subcommand of another room.

    Attributes:
        name: of the subcommand.
        help: the line that the root help shows.
        target: MODULE:NAME of a function, or of a typer.Typer with subcommands of its own.
        extra: the extra of the distribution that it needs.
        found: from the arguments that are given, those that the client puts before them; None for none.
    """

    name: str
    help: str
    target: str
    extra: str
    found: Callable[[Sequence[str]], list[str]] | None = None


SUBCOMMANDS = (
    Subcommand("serve", "Serve a folder of models over gRPC.", "medxgan.server.command:serve", "server", found_models),
    Subcommand(
        "warm-up",
        "Make ready what a server of these models needs on this machine.",
        "medxgan.server.warm_up:warm_up",
        "server",
        found_models,
    ),
    Subcommand("sign", "Sign a model bundle.", "medxgan.bundle.command:sign", "server"),
    Subcommand("audit", "Check what a server noted of who asked for what.", "medxgan.server.audit:audit_app", "server"),
    Subcommand(
        "gateway",
        "Take films in from a picture archive, and deliver explanations of them.",
        "medxgan.gateway.command:gateway_app",
        "gateway",
    ),
    Subcommand("train", "Train a classifier, a generator or an encoder.", "medxgan.training.command:train", "training"),
    Subcommand("data", "Make data ready for training.", "medxgan.training.command:data", "training"),
    Subcommand(
        "evaluate",
        "Measure a training run; rank its explainers on held-out images.",
        "medxgan.evaluation.command:evaluate",
        "evaluation",
    ),
    Subcommand("export", "Write a training run as a model bundle.", "medxgan.export.command:export", "export"),
    Subcommand(
        "export-classifier",
        "Write a classifier that was trained elsewhere as a model bundle.",
        "medxgan.export.command:export_classifier",
        "export",
    ),
    Subcommand(
        "export-onnx",
        "Write a model bundle as one ONNX file for other runtimes.",
        "medxgan.export.command:export_onnx",
        "export",
    ),
    Subcommand(
        "export-triton",
        "Write model bundles as a model repository of NVIDIA Triton.",
        "medxgan.server.triton.command:export_triton",
        "server",
    ),
    Subcommand(
        "cohort",
        "Explain many films: a table of them, their maps, and a report.",
        "medxgan.cohort.command:cohort",
        "cohort",
    ),
    Subcommand("web", "See, compare and question explanations in a browser.", "medxgan.web.command:web", "web"),
)

# Everything behind the name, `--help` included, is for the room's own command to read.
PASS_THROUGH = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}


def load(target: str, *, purpose: str, extra: str) -> Any:
    """Load what another room has under MODULE:NAME.

    Args:
        target: MODULE:NAME.
        purpose: what needs it, for the message: "`medxgan train`".
        extra: the extra of the distribution that it needs.

    Raises:
        MissingExtraError: the extra is not installed.
    """
    from medxgan.client.errors import needed_extra

    module, _, name = target.partition(":")
    with needed_extra(purpose, extra):
        return getattr(import_module(module), name)


def mount(app: typer.Typer, subcommand: Subcommand) -> None:
    """Add a subcommand of another room to `app`."""
    app.command(subcommand.name, help=subcommand.help, add_help_option=False, context_settings=PASS_THROUGH)(
        _caller(subcommand)
    )


def _caller(subcommand: Subcommand) -> Callable[[typer.Context], None]:
    def call(context: typer.Context) -> None:
        with known_errors():
            command = load(subcommand.target, purpose=f"`medxgan {subcommand.name}`", extra=subcommand.extra)
        if not isinstance(command, typer.Typer):
            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            app.command()(command)
            command = app
        found = subcommand.found(context.args) if subcommand.found is not None else []
        command(args=[*found, *context.args], prog_name=f"medxgan {subcommand.name}")

    return call
