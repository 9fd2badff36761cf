"""A medxgan server on loopback for the life of one command: the same path as a remote one, without set-up."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from medxgan.client.command.rooms import load

TARGET = "medxgan.server.embedded:EmbeddedServer"


class EmbeddedServerError(Exception):
    """The embedded server can't serve these models; the message says why."""


class RunningServer(Protocol):
    """A server that is up."""

    @property
    def address(self) -> str:
        """HOST:PORT on loopback."""
        ...


class EmbeddedServer(Protocol):
    """What `TARGET` is: a class of context managers."""

    StartError: type[Exception] | tuple[type[Exception], ...]
    """What construction and entry raise where models can't be served; the message is for a person."""

    def __call__(self, models: Path, provider: str, **settings: Any) -> AbstractContextManager[RunningServer]:
        """A server of every bundle below `models`, up while it is open."""
        ...


@contextmanager
def embedded_server(models: Path, provider: str, **settings: Any) -> Iterator[str]:
    """Serve the bundles below `models` on loopback; gives the address as HOST:PORT.

    Args:
        models: folder of NAME/VERSION/ bundles.
        provider: "auto", "cpu", "cuda", "tensorrt", "openvino" or "torch".
        settings: further ones of the server, by their names: `replicas=2`.

    Raises:
        MissingExtraError: the server is not installed.
        EmbeddedServerError: it can't serve these models.
    """
    server: EmbeddedServer = load(TARGET, purpose="running without --server", extra="server")
    with ExitStack() as stack:
        try:
            running = stack.enter_context(server(models, provider, **settings))
        except server.StartError as error:
            raise EmbeddedServerError(f"the embedded server can't start: {error}") from error
        yield running.address
