"""The application of Ray Serve: how many replicas there are, and what each takes of the cluster."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig

from medxgan.server.cluster.replica import Replica
from medxgan.server.errors import UnsupportedError
from medxgan.server.settings import ServerSettings, describe

NAME = "medxgan"
"""Of the application."""

LIGHT_REQUESTS = 64
"""Requests that a replica takes beside those that its models count: what asks for no explanation, or is refused."""


def application(settings: Mapping[str, Any]) -> Application:
    """What `import_path` of a configuration file of Ray Serve names; `args` are settings of the server.

    Raises:
        UnsupportedError: naming the settings that are wrong.
    """
    try:
        return application_of(ServerSettings(**{"ray": "auto", **settings}))
    except ValidationError as error:
        raise UnsupportedError(describe(error)) from error


def application_of(settings: ServerSettings) -> Application:
    """The application of a server's settings."""
    chosen = _of_a_replica(settings)
    deployment = serve.deployment(
        name="explanations",
        # A replica refuses what is too much with a delay to wait; Ray would let it wait unseen.
        max_ongoing_requests=_most_requests(settings),
        max_queued_requests=settings.ray_queue,
        graceful_shutdown_timeout_s=settings.shutdown_grace_seconds,
        graceful_shutdown_wait_loop_s=0.5,
        # A block of a full batch is waited for, and a film that is read.
        health_check_timeout_s=60,
        # A request has one log line, and it is ours.
        logging_config={"enable_access_log": False},
        ray_actor_options={"num_cpus": chosen.threads, "num_gpus": chosen.ray_gpus},
        **_number(settings),
    )
    return deployment(Replica).bind(chosen)


def _of_a_replica(settings: ServerSettings) -> ServerSettings:
    """The settings in force within a replica: as many threads as Ray keeps cores for it, and no device but its own."""
    threads = settings.threads or 1
    provider = "cpu" if settings.provider == "auto" and not settings.ray_gpus else settings.provider
    return settings.model_copy(update={"threads": threads, "provider": provider})


def _number(settings: ServerSettings) -> dict[str, Any]:
    least, most = settings.ray_minimum_replicas, settings.ray_maximum_replicas
    if least == most:
        return {"num_replicas": least}
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=least, max_replicas=most, target_ongoing_requests=settings.ray_target_requests
        )
    }


def _most_requests(settings: ServerSettings) -> int:
    return max(1, settings.replicas) * (settings.maximum_batch + settings.maximum_waiting) + LIGHT_REQUESTS
