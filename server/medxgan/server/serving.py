"""A server from its settings: the service, health and reflection behind one port."""

import asyncio
import signal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE_NAME
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from medxgan.server.admission import Admission
from medxgan.server.images.limits import ImageLimits
from medxgan.server.log import get_logger
from medxgan.server.repository import ModelRepository
from medxgan.server.services.explanation_service import SERVICE_NAME, ExplanationService
from medxgan.server.services.request_interceptor import RequestInterceptor
from medxgan.server.settings import ServerSettings
from medxgan.v1 import explanation_pb2_grpc

_log = get_logger(__name__)

_HEALTH_OF = ("", SERVICE_NAME)


class Server:
    """A gRPC server. Made and used inside one running event loop.

    Args:
        settings: of the server; `address` says where it listens.
        repository: the models, loaded but not yet started.
    """

    def __init__(self, settings: ServerSettings, repository: ModelRepository) -> None:
        self._settings = settings
        self._repository = repository
        self._health = health.HealthServicer()
        self._grpc = grpc.aio.server(
            interceptors=[RequestInterceptor(SERVICE_NAME)],
            options=[
                ("grpc.max_receive_message_length", settings.maximum_message_bytes),
                # Two servers on one port would share its callers between them unnoticed.
                ("grpc.so_reuseport", 0),
            ],
        )
        admission = Admission(settings.maximum_batch + settings.maximum_waiting, settings.retry_delay_seconds)
        limits = ImageLimits(settings.maximum_side, settings.maximum_pixels, settings.maximum_decompressed_bytes)
        explanation_pb2_grpc.add_ExplanationServiceServicer_to_server(  # type: ignore[no-untyped-call]
            ExplanationService(repository, admission, limits), self._grpc
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        reflection.enable_server_reflection((SERVICE_NAME, HEALTH_SERVICE_NAME, reflection.SERVICE_NAME), self._grpc)

    async def listen(self) -> int:
        """Take requests, not yet calling itself healthy: they wait until the models are warm.

        Returns:
            The port that it listens on.

        Raises:
            OSError: the address can't be listened on.
        """
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        try:
            port: int = self._grpc.add_insecure_port(self._settings.address)
        except RuntimeError as error:
            raise OSError(f"can't listen on {self._settings.address}") from error
        await self._grpc.start()
        return port

    async def warm_up(self) -> None:
        """Warm the models up, and from then on call itself healthy."""
        await self._repository.start()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Call itself unhealthy, take no more requests, give those that run their grace, and end the compute."""
        await self._health.enter_graceful_shutdown()
        await self._grpc.stop(self._settings.shutdown_grace_seconds)
        await self._repository.stop()

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for service in _HEALTH_OF:
            await self._health.set(service, status)


def load_models(settings: ServerSettings) -> ModelRepository:
    """Load the models that the settings name.

    Raises:
        BundleError: the folder holds no bundle, or one that can't be served.
        UnsupportedError: this installation has not what the provider needs.
    """
    return ModelRepository.load(settings.models, settings.provider, settings.threads, settings.maximum_batch)


async def serve_until_signal(settings: ServerSettings, repository: ModelRepository) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        OSError: the address can't be listened on.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = Server(settings, repository)
    host, _, _ = settings.address.rpartition(":")
    address = f"{host}:{await server.listen()}"
    _log.info("warming_up", address=address)
    await server.warm_up()
    _log.info("serving", address=address, models=repository.names())
    await stopping.wait()
    _log.info("stopping", grace_seconds=settings.shutdown_grace_seconds)
    await server.stop()
