"""Where the server is that a run asks: one that was named, or one of its own in each process that explains."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medxgan.client.client import Client
from medxgan.client.command.bundle_search import NoModelsError, find_models
from medxgan.client.command.connection import Access
from medxgan.client.command.embedded import embedded_server
from medxgan.client.results import ModelDescription
from medxgan.cohort.errors import CohortError

PATIENCE = 300.0
"""Seconds for which a server may be away or busy before a run ends."""

TIMEOUT = 900.0
"""Seconds for one film, of which a server may be away for `PATIENCE`."""

FIRST_PATIENCE = 5.0
"""Seconds for which one may be away before a run begins."""

NAMED_REQUESTS = 24
"""Films that are with a named server at once: three of its full batches, and less than it takes from one caller."""


class Token:
    """A bearer token that no text shows: Ray may write down the arguments that its actors are made with.

    Attributes:
        text: the token.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "Token(...)"


@dataclass(frozen=True)
class Endpoint:
    """How a process that explains comes to a server.

    Attributes:
        server: HOST:PORT of one that runs; None for one of its own.
        access: what a named one is trusted by, and what shows who calls.
        models: folder of bundles for one of its own; None searches.
        model: name of the model that will be asked for.
        provider: what one of its own computes on.
        batch: inversions that advance together on each copy of the model; of one of its own.
        token: shows who calls a named one, where `access` names no file: a process elsewhere has another environment.
    """

    server: str | None
    access: Access
    models: Path | None
    model: str
    provider: str
    batch: int
    token: Token | None = None

    @property
    def gpus(self) -> int:
        """Graphics processors that one of its own takes."""
        return 1 if self.server is None and self.provider in ("cuda", "tensorrt") else 0

    @contextmanager
    def open(self, copies: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """The address, and the arguments of a connection to it, for as long as the context lasts.

        Args:
            copies: of the model, each on a thread of its own; of one of its own.

        Raises:
            CohortError: there are no models for one of its own.
            EmbeddedServerError: they can't be served.
        """
        if self.server is not None:
            arguments = self.access.arguments()
            if self.access.token_file is None and self.token is not None:
                arguments["token"] = self.token.text
            yield self.server, {**arguments, **_PATIENT}
            return
        try:
            folder = find_models(self.models, self.model)
        except NoModelsError as error:
            raise CohortError(str(error)) from error
        settings = {"replicas": copies, "threads": 1, "maximum_batch": self.batch, "log_level": "warning"}
        with embedded_server(folder, self.provider, **settings) as address:
            yield address, dict(_PATIENT)

    def requests(self, copies: int) -> int:
        """Films to have with the server at once: enough that none of its copies ever waits."""
        return NAMED_REQUESTS if self.server is not None else 2 * self.batch * copies + 2


_PATIENT = {"timeout": TIMEOUT, "patience": PATIENCE}


def describe(address: str, arguments: dict[str, Any], model: str, version: str) -> ModelDescription:
    """What a server says of a model.

    Raises:
        MedxganClientError: it has no such model, or can't be had.
    """
    with Client(address, **arguments | {"patience": FIRST_PATIENCE}) as client:
        return client.model(model, version)
