"""Health as gRPC's protocol has it: of the server, of its services, and of every model."""

import asyncio
from collections.abc import Iterable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse

MODEL_PREFIX = "medxgan.model/"
"""Before NAME, of whose versions one is served, and NAME/VERSION: what health calls a model."""


# ruff: noqa: D102, N802 - the methods are named and described by health.proto
class Health(health_pb2_grpc.HealthServicer):
    """Says what can be asked, and tells who watches when that changes. Used from one event loop.

    In place of the servicer of grpcio-health-checking, which tells a watcher nothing more once another of the same
    service has gone.

    Args:
        services: that are known from the start, none of which serves yet.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._statuses = dict.fromkeys(services, HealthCheckResponse.NOT_SERVING)
        self._changed = asyncio.Event()
        self._stopping = False

    def set(self, service: str, is_serving: bool) -> None:
        """A service serves from now on, or no longer; nothing does any more once it was stopped."""
        serving = is_serving and not self._stopping
        self._statuses[service] = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        self._changed.set()
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """No service serves from now on."""
        self._stopping = True
        for service in self._statuses:
            self.set(service, False)

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> HealthCheckResponse:
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return HealthCheckResponse(status=status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext) -> None:
        told = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                told = status
                await context.write(HealthCheckResponse(status=status))
            await changed.wait()
