"""Options that name a server, and the connection to it."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.models import OptionInfo

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
    OPENVINO = "openvino"
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
TlsOption = Annotated[
    bool,
    typer.Option(
        "--tls",
        envvar="MEDXGAN_TLS",
        help="Speak TLS with the server, and trust the authorities that gRPC trusts. Any of the next three brings TLS.",
    ),
]


def _file(name: str, variable: str, what: str) -> OptionInfo:
    option: OptionInfo = typer.Option(name, metavar="FILE", envvar=variable, help=what, show_default=False)
    return option


AuthorityOption = Annotated[
    Path | None,
    _file("--tls-authority", "MEDXGAN_AUTHORITY", "Certificates (PEM) of the authority that the server's comes from."),
]
CertificateOption = Annotated[
    Path | None,
    _file("--tls-certificate", "MEDXGAN_CLIENT_CERTIFICATE", "Your certificate (PEM), for a server that asks for one."),
]
KeyOption = Annotated[Path | None, _file("--tls-key", "MEDXGAN_CLIENT_KEY", "The key (PEM) of your certificate.")]
TokenFileOption = Annotated[
    Path | None,
    _file(
        "--token-file",
        "MEDXGAN_TOKEN_FILE",
        "File with your bearer token. Without it, the variable MEDXGAN_TOKEN may hold the token itself.",
    ),
]


@dataclass(frozen=True)
class Access:
    """What the server is trusted by and what shows who calls: the values of the options above."""

    tls: bool = False
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token_file: Path | None = None

    def arguments(self) -> dict[str, Any]:
        """The arguments of a connection to a server that was named."""
        from medxgan.client.security import Tls

        named = (self.authority, self.certificate, self.key)
        tls = Tls(*named) if self.tls or any(file is not None for file in named) else None
        return {"tls": tls, "token": self.token_file or os.environ.get("MEDXGAN_TOKEN") or None}


@contextmanager
def connect(
    context: typer.Context, server: str | None, models: Path | None, provider: Provider, access: Access, model: str = ""
) -> Iterator["Client"]:
    """Connect to `server`, or to an embedded one where it is None; see `reached`."""
    from medxgan.client.client import Client

    with (
        reached(context, server, models, provider, access, model) as (address, arguments),
        Client(address, **arguments) as client,
    ):
        yield client


@contextmanager
def reached(
    context: typer.Context, server: str | None, models: Path | None, provider: Provider, access: Access, model: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The address of `server`, or of an embedded one where it is None, and the arguments of a connection to it.

    Arguments are those of the options above. `model` is the name of the model that will be asked for: the embedded
    server takes a folder that has it.
    """
    refuse_misplaced(context, server)
    if server is None:
        with _embedded(models, provider, model) as address:
            yield address, {}
    else:
        yield server, access.arguments()


def refuse_misplaced(context: typer.Context, server: str | None, *embedded: str) -> None:
    """End the command where an option was given that is for the other kind of server.

    Args:
        context: of the command.
        server: that was named; None where one is embedded.
        embedded: the command's own options that are for an embedded server, by their parameters.

    Raises:
        typer.BadParameter: names the option.
    """
    if server is None:
        wrong = "is for a server that --server names; this one is embedded"
        _refuse(context, wrong, "tls", "tls_authority", "tls_certificate", "tls_key", "token_file")
    else:
        _refuse(context, "is for the embedded server; --server names another", "models", "provider", *embedded)


def _refuse(context: typer.Context, why: str, *options: str) -> None:
    for option in options:
        source = context.get_parameter_source(option)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(why, param_hint=f"--{option.replace('_', '-')}")


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
