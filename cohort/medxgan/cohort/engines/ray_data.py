"""The engine that is a cluster of Ray: Ray Data hands parts to actors, each of which has a server of its own.

An actor that dies takes nothing with it: Ray hands its parts to another, and a part that is written is not done again.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import ray
import ray.data
from ray.exceptions import RayError

from medxgan.client.results import ModelDescription
from medxgan.cohort.endpoint import Endpoint, describe
from medxgan.cohort.engines.travelling_errors import errors_that_travel
from medxgan.cohort.errors import CohortError, LostPartError
from medxgan.cohort.job import Job
from medxgan.cohort.part_explainer import DonePart, Tell
from medxgan.cohort.run_folder import RunFolder

LOCAL = "local"
"""The address that stands for a cluster of this machine alone, for as long as the run."""

PARTS_AT_ACTOR = 2
"""Parts that an actor holds: the one that it explains, and the next."""


class RayData:
    """Actors of Ray, each with a server.

    Args:
        endpoint: of the servers.
        workers: number of actors.
        requests: films that each has with its server at once.
    """

    def __init__(self, endpoint: Endpoint, workers: int, requests: int) -> None:
        self._endpoint, self._workers, self._requests = endpoint, workers, requests

    @property
    def requests(self) -> int:
        """Films that each actor has with its server at once."""
        return self._requests

    def describe(self, model: str, version: str) -> ModelDescription:
        """What a server of an actor's machine says of a model."""
        task = ray.remote(_describe).options(max_retries=3, num_gpus=self._endpoint.gpus or None)
        with _errors_in_words():
            found: ModelDescription = ray.get(task.remote(self._endpoint, model, version))
        return found

    def explain(self, job: Job, parts: Sequence[int], tell: Tell) -> None:
        """Explain parts; on return all of them are written.

        Raises:
            LostPartError: some are not there for this process, since the folder is another's on another machine.
        """
        ray.data.DataContext.get_current().enable_progress_bars = False
        with _errors_in_words():
            # A block for every part, made here, so that no worker is needed to list them.
            listed = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts))
            done = listed.map_batches(
                PartActor,
                fn_constructor_args=(job, self._endpoint),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(
                    size=min(self._workers, len(parts)), max_tasks_in_flight_per_actor=PARTS_AT_ACTOR
                ),
                num_cpus=1,
                num_gpus=self._endpoint.gpus or None,
            )
            for row in done.iter_rows():
                for number in range(row["films"]):
                    tell(number >= row["failed"])
        folder = RunFolder(job.folder)
        if missing := [part for part in parts if not folder.part_file(part).exists()]:
            raise LostPartError(
                f"{len(missing)} parts are done and not here: --out has to be the same folder on every machine"
            )


class PartActor:
    """A process of the cluster that explains parts.

    Args:
        job: what to explain.
        endpoint: of its server.
    """

    def __init__(self, job: Job, endpoint: Endpoint) -> None:
        self._job, self._open = job, ExitStack()
        with errors_that_travel():
            self._address, self._arguments = self._open.enter_context(endpoint.open(1))

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Explain the parts of a batch."""
        numbers = [int(number) for number in batch["part"]]
        folder = RunFolder(self._job.folder)
        # An actor that died may have written them, and not have come to say so.
        done = [DonePart(part, *folder.counts(part)) for part in numbers if folder.part_file(part).exists()]
        rest = sorted(set(numbers) - {part.part for part in done})
        with errors_that_travel():
            done += self._job.explain(self._address, self._arguments, rest, lambda _: None)
        return {name: np.array([getattr(each, name) for each in done]) for name in ("part", "films", "failed")}


@contextmanager
def ray_data(address: str, endpoint: Endpoint, workers: int, requests: int | None) -> Iterator[RayData]:
    """The engine while its context lasts.

    Args:
        address: of a cluster, or `LOCAL`. Where this process is in a cluster already, that is used.
        endpoint: of the servers.
        workers: number of actors.
        requests: films that each has with its server at once; None for as many as keep it busy.
    """
    engine = RayData(endpoint, workers, requests or endpoint.requests(1))
    if ray.is_initialized():
        yield engine
        return
    # Nothing is told to Ray's makers unless the user has said so.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    options = {**quiet, "include_dashboard": False, "num_cpus": workers}
    if address != LOCAL:
        # A process of the cluster finds medxgan where this one does, and trusts the same archives.
        found = {name: os.environ[name] for name in ("PYTHONPATH", "REQUESTS_CA_BUNDLE") if name in os.environ}
        options = {**quiet, "address": address, "runtime_env": {"env_vars": found}}
    try:
        ray.init(**options)
    except Exception as error:
        # Ray has no class of its own for it.
        raise CohortError(f"--ray: no cluster answers there: {error}") from error
    try:
        yield engine
    finally:
        ray.shutdown()


def _describe(endpoint: Endpoint, model: str, version: str) -> ModelDescription:
    with errors_that_travel(), endpoint.open(1) as (address, arguments):
        return describe(address, arguments, model, version)


@contextmanager
def _errors_in_words() -> Iterator[None]:
    """What an actor says, without the tracebacks of the way here."""
    try:
        yield
    except RayError as error:
        cause: BaseException | None = error
        while cause is not None:
            inner = getattr(cause, "cause", None) or cause.__cause__
            if isinstance(cause, CohortError):
                break
            cause = inner if isinstance(inner, BaseException) else None
        raise CohortError(_last_line(cause or error)) from error


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1].removeprefix("medxgan.cohort.errors.CohortError: ")
