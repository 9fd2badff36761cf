"""`medxgan serve --ray`: the application on a cluster of Ray, for as long as the command runs."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import ray
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ray import serve
from ray.serve.config import HTTPOptions, gRPCOptions
from ray.serve.schema import LoggingConfig

from medxgan.server.cluster.application import NAME, application_of
from medxgan.server.cluster.proxy import SERVICER_FUNCTIONS
from medxgan.server.errors import UnsupportedError
from medxgan.server.log import get_logger
from medxgan.server.services import model_folder
from medxgan.server.settings import ServerSettings

_log = get_logger(__name__)

LOCAL = "local"
"""In place of an address: a Ray of the command's own, on this machine."""

PROXY_SECONDS = 60.0
"""Seconds that Ray's proxy has to hear of an application that runs."""


def serve_on_ray(settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way have their grace then.

    Raises:
        BundleError: the folder of models holds no bundle, on this machine with `local`.
        UnsupportedError: Ray can't be reached, the replicas don't start, or another's proxy has the port.
    """
    if settings.ray == LOCAL:
        model_folder(settings).bundles()
    with _connected(settings):
        # Ray sets handlers of its own as it starts.
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        deploy(settings)
        _log.info("serving", address=settings.address, ray=settings.ray)
        stopping.wait()
        _log.info("stopping", grace_seconds=settings.shutdown_grace_seconds)
        serve.delete(NAME)


def deploy(settings: ServerSettings) -> None:
    """Put the application on the cluster that this process is connected to, and wait until it answers.

    Raises:
        UnsupportedError: the replicas don't start, or another's proxy has the port.
    """
    port = int(settings.address.rpartition(":")[2])
    serve.start(
        proxy_location="EveryNode",
        logging_config=LoggingConfig(enable_access_log=False),
        # Ray has no gRPC without HTTP: on loopback, on a free port, where it answers for no one.
        http_options=HTTPOptions(host="127.0.0.1", port=0),
        grpc_options=gRPCOptions(
            port=port,
            grpc_servicer_functions=SERVICER_FUNCTIONS,
            request_timeout_s=settings.deadline_ceiling_seconds,
            enable_reflection=settings.reflection == "on"
            or (settings.reflection == "auto" and settings.identities is None),
        ),
    )
    try:
        serve.run(application_of(settings), name=NAME, route_prefix=f"/{NAME}")
    except RuntimeError as error:
        raise UnsupportedError(f"the replicas don't start: {error}") from error
    head = ray.get_runtime_context().gcs_address.rpartition(":")[0]
    _wait_for_proxy(f"{head}:{port}")


@contextmanager
def _connected(settings: ServerSettings) -> Iterator[None]:
    # Ray reports its use to its makers where nobody says otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        if settings.ray == LOCAL:
            ray.init(address=LOCAL, include_dashboard=False)
        else:
            ray.init(address=settings.ray)
    except Exception as error:
        raise UnsupportedError(f"ray: {settings.ray} can't be reached or started ({error})") from error
    try:
        yield
    finally:
        if settings.ray == LOCAL:
            serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()


def _wait_for_proxy(address: str) -> None:
    ends = time.monotonic() + PROXY_SECONDS
    with grpc.insecure_channel(address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        while True:
            try:
                check(health_pb2.HealthCheckRequest(), timeout=10, wait_for_ready=True)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNIMPLEMENTED or time.monotonic() > ends:
                    raise UnsupportedError(
                        f"Ray's proxy does not answer for medxgan at {address} ({error.code().name}): it can't be "
                        "reached from here, or Ray Serve runs there with other gRPC options, which only its end changes"
                    ) from error
            else:
                return
            time.sleep(0.1)
