"""What an engine does."""

from collections.abc import Sequence
from typing import Protocol

from medxgan.client.results import ModelDescription
from medxgan.cohort.job import Job
from medxgan.cohort.part_explainer import Tell


class Engine(Protocol):
    """Explains parts, while its context is open."""

    @property
    def requests(self) -> int:
        """Films that each of its processes has with a server at once."""
        ...

    def describe(self, model: str, version: str) -> ModelDescription:
        """What the servers say of a model."""
        ...

    def explain(self, job: Job, parts: Sequence[int], tell: Tell) -> None:
        """Explain parts; on return all of them are written."""
        ...
