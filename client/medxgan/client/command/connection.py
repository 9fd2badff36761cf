"""Options that name a server, and the connection to it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medxgan.client.command.bundle_search import NoModelsError, find_models
from medxgan.client.command.terminal import standard_error

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
    Path | None,
    typer.Option(
        "--models",
        metavar="DIR",
        envvar="MEDXGAN_MODELS",
        help="Folder of NAME/VERSION/ bundles for the embedded server. If left out: ./models, then installed bundles.",
        show_default=False,
    ),
]
ProviderOption = Annotated[
    Provider,
    typer.Option("--provider", envvar="MEDXGAN_PROVIDER", help="What the embedded server computes on."),
]


@contextmanager
def connect(
    context: typer.Context, server: str | None, models: Path | None, provider: Provider, *, model: str = ""
) -> Iterator["Client"]:
    """Connect to `server`, or to an embedded one where it is None; the arguments are those of the options above.

    `model` is the name of the model that will be asked for: the embedded server takes a folder that has it.
    """
    with ExitStack() as stack:
        if server is None:
            address = stack.enter_context(_embedded(models, provider, model))
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
def _embedded(models: Path | None, provider: Provider, model: str) -> Iterator[str]:
    from medxgan.client.command.embedded import embedded_server

    try:
        folder = find_models(models, model)
    except NoModelsError as error:
        raise typer.BadParameter(str(error), param_hint="--models") from error
    with ExitStack() as stack:
        with standard_error().status("Loading the models"):
            address = stack.enter_context(embedded_server(folder, provider.value))
        yield address
