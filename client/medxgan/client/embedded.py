"""A medxgan server on loopback for the life of one command: the same path as a remote one, without set-up.

The server is another room, which the client never imports: it is found by the entry point `server` of the group
`medxgan.embedded_server`.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

GROUP = "medxgan.embedded_server"


class EmbeddedServerError(Exception):
    """The embedded server can't be had; the message says what to do."""


class EmbeddedServer(Protocol):
    """What the entry point names: a context manager that serves while it is open."""

    StartError: type[Exception]
    """Raised on entry where the models or the provider can't be served; its message is for a person."""

    address: str
    """HOST:PORT on loopback, once it is open."""

    def __call__(self, models: Path, provider: str) -> AbstractContextManager["EmbeddedServer"]:
        """Make a server of every bundle below `models`."""
        ...


@contextmanager
def embedded_server(models: Path, provider: str) -> Iterator[str]:
    """Serve the bundles below `models` on loopback; gives the address as HOST:PORT.

    Args:
        models: folder of NAME/VERSION/ bundles.
        provider: "auto", "cpu", "cuda", "tensorrt" or "torch".

    Raises:
        EmbeddedServerError: no such folder, the server is not installed, or it can't serve these models.
    """
