"""Options that name a server, and the connection to it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medxgan.client.commands.terminal import standard_error

if TYPE_CHECKING:
    from medxgan.client.client import Client


class Provider(StrEnum):
    """What the embedded server computes on."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"
    TORCH = "torch"


ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="HOST:PORT",
        envvar="MEDXGAN_SERVER",
        help="A running server. Without it, one is started on loopback for as long as the command runs.",
    ),
]
ModelsOption = Annotated[
    Path,
    typer.Option(
        "--models",
        metavar="DIR",
        envvar="MEDXGAN_MODELS",
        help="Folder of NAME/VERSION/ bundles for the embedded server.",
    ),
]
ProviderOption = Annotated[
    Provider,
    typer.Option("--provider", envvar="MEDXGAN_PROVIDER", help="What the embedded server computes on."),
]

DEFAULT_MODELS = Path("models")


@contextmanager
def connect(context: typer.Context, server: str | None, models: Path, provider: Provider) -> Iterator["Client"]:
    """Connect to `server`, or to an embedded one where it is None; the arguments are those of the options above."""
    with ExitStack() as stack:
        if server is None:
            address = stack.enter_context(_embedded(models, provider))
        else:
            _refuse(context, "models", "provider")
            address = server
        from medxgan.client.client import Client

        yield stack.enter_context(Client(address))


def _refuse(context: typer.Context, *options: str) -> None:
    for option in options:
        source = context.get_parameter_source(option)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter("is for the embedded server; --server names another", param_hint=f"--{option}")


@contextmanager
def _embedded(models: Path, provider: Provider) -> Iterator[str]:
    from medxgan.client.embedded import embedded_server

    if not models.is_dir():
        raise typer.BadParameter(
            f"there is no folder {models}; name the folder of bundles, or a running server with --server",
            param_hint="--models",
        )
    with ExitStack() as stack:
        with standard_error().status("Loading the models"):
            address = stack.enter_context(embedded_server(models, provider.value))
        yield address
