"""The engine that is this process: many requests at once to one server."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from medxgan.client.results import ModelDescription
from medxgan.cohort.endpoint import Endpoint, describe
from medxgan.cohort.job import Job
from medxgan.cohort.part_explainer import Tell


class Pool:
    """Many requests at once to one server.

    Args:
        address: of the server.
        arguments: of a connection to it.
        requests: films that are with it at once.
    """

    def __init__(self, address: str, arguments: dict[str, Any], requests: int) -> None:
        self._address, self._arguments, self._requests = address, arguments, requests

    @property
    def requests(self) -> int:
        """Films that are with the server at once."""
        return self._requests

    def describe(self, model: str, version: str) -> ModelDescription:
        """What the server says of a model."""
        return describe(self._address, self._arguments, model, version)

    def explain(self, job: Job, parts: Sequence[int], tell: Tell) -> None:
        """Explain parts; on return all of them are written."""
        job.explain(self._address, self._arguments, parts, tell)


@contextmanager
def pool(endpoint: Endpoint, workers: int, requests: int | None) -> Iterator[Pool]:
    """The engine while its context lasts.

    Args:
        endpoint: of the server.
        workers: copies of the model, where the server is one of its own.
        requests: films that are with it at once; None for as many as keep it busy.
    """
    with endpoint.open(workers) as (address, arguments):
        yield Pool(address, arguments, requests or endpoint.requests(workers))
