"""A server from its settings: the services, health and reflection behind one port."""

import asyncio
import os
import signal
from collections.abc import Coroutine

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE_NAME
from grpc_reflection.v1alpha import reflection, reflection_pb2

from medxgan.server.images.workers.pool import DecoderPool
from medxgan.server.log import get_logger
from medxgan.server.models.repository import ModelRepository
from medxgan.server.open_inference import messages
from medxgan.server.open_inference import service as open_inference
from medxgan.server.services import Services, decoder_pool, loaded_models
from medxgan.server.settings import ServerSettings
from medxgan.server.telemetry.endpoint import TelemetryEndpoint
from medxgan.server.wire.reflection import pool_of
from medxgan.server.wire.service import SERVICE_NAME
from medxgan.v1 import explanation_pb2

_log = get_logger(__name__)

LAST_ANSWERS_SECONDS = 1.0
"""Seconds that answers which are made have to reach their callers when a server stops."""

MAXIMUM_HEADER_BYTES = 16 * 2**10
"""Bytes of a call's headers, a token among them; a call with more is refused before anything sees it."""

HANDSHAKE_SECONDS = 20.0
"""Seconds that a connection has to greet as HTTP/2 does, over TLS where it is spoken."""

LEAST_STREAMS = 100
"""Calls that a connection may have open in any case, as HTTP/2 (RFC 9113) advises."""

KEEPALIVE = (
    # Dead peers are found: a connection without traffic is asked for a sign of life.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Clients that ask as often as every 10 seconds, also between calls, are not taken for abusive.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)
"""Settings of gRPC's keepalive guide (grpc.io/docs/guides/keepalive)."""


class Server:
    """A gRPC server. Made and used inside one running event loop.

    Args:
        settings: of the server; `address` says where it listens.
        repository: the models, loaded but not yet started.
        decoder: that has begun already; the server ends it. None: one of its own.

    Raises:
        SecurityFileError: a file of certificates, keys or identities can't be used.
        UnsupportedError: traces are wanted, and OpenTelemetry is not installed.
    """

    def __init__(
        self, settings: ServerSettings, repository: ModelRepository, decoder: DecoderPool | None = None
    ) -> None:
        # Before anything is opened that would have to be closed again.
        self._credentials = _credentials(settings)
        self._settings = settings
        self._services = services = Services(settings, repository, decoder=decoder)
        self._grpc = grpc.aio.server(
            interceptors=services.interceptors,
            options=[
                ("grpc.max_receive_message_length", settings.maximum_message_bytes),
                # Two servers on one port would share its callers between them unnoticed.
                ("grpc.so_reuseport", 0),
                # A window that grows with the line's speed lets a caller send a whole message before its turn.
                ("grpc.http2.bdp_probe", 0),
                # The soft limit as high as the hard one, or gRPC refuses what is between them at random.
                ("grpc.max_metadata_size", MAXIMUM_HEADER_BYTES),
                ("grpc.absolute_max_metadata_size", MAXIMUM_HEADER_BYTES),
                ("grpc.max_allowed_incoming_connections", settings.maximum_connections),
                ("grpc.server_handshake_timeout_ms", round(1000 * HANDSHAKE_SECONDS)),
                # More than one caller may have, so that it hears that it has too many.
                ("grpc.max_concurrent_streams", max(LEAST_STREAMS, 2 * settings.maximum_requests_per_caller)),
                ("grpc.max_connection_age_ms", round(1000 * settings.connection_age_seconds)),
                ("grpc.max_connection_age_grace_ms", round(1000 * settings.deadline_ceiling_seconds)),
                ("grpc.max_connection_idle_ms", round(1000 * settings.connection_idle_seconds)),
                *KEEPALIVE,
            ],
        )
        services.add_to(self._grpc)
        names = [SERVICE_NAME, HEALTH_SERVICE_NAME, reflection.SERVICE_NAME]
        described = [explanation_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
        if settings.open_inference:
            services.add_open_inference_to(self._grpc)
            names.append(open_inference.SERVICE_NAME)
            described.append(messages.DESCRIPTOR)
        if settings.reflection == "on" or (settings.reflection == "auto" and settings.identities is None):
            reflection.enable_server_reflection(names, self._grpc, pool_of(described))
        self._endpoint: TelemetryEndpoint | None = None

    @property
    def telemetry_port(self) -> int | None:
        """That the figures are told on; None where they are not told."""
        return None if self._endpoint is None else self._endpoint.port

    @property
    def model_names(self) -> list[str]:
        """NAME/VERSION of every model that is served."""
        return self._services.model_names

    async def listen(self) -> int:
        """Take requests, not yet calling itself healthy: they wait until the models are warm.

        Returns:
            The port that it listens on.

        Raises:
            OSError: the address can't be listened on.
        """
        if self._settings.telemetry:
            self._endpoint = TelemetryEndpoint(
                self._settings.telemetry,
                self._services.telemetry.figures,
                lambda: self._services.is_ready,
                self._services.is_model_ready,
            )
            self._endpoint.start()
        try:
            port: int = (
                self._grpc.add_insecure_port(self._settings.address)
                if self._credentials is None
                else self._grpc.add_secure_port(self._settings.address, self._credentials)
            )
        except RuntimeError as error:
            raise OSError(f"can't listen on {self._settings.address}") from error
        await self._grpc.start()
        return port

    async def warm_up(self) -> None:
        """Warm the models and the decoders up, and from then on call itself healthy.

        Raises:
            UnsupportedError: this installation can't start the processes that decode files.
        """
        await self._services.warm_up()

    def read_models_again(self) -> None:
        """Serve the models that lie in the folder now, soon; where calls load them, only of names that are served."""
        self._services.control.read_again_soon(loaded=self._settings.model_control == "explicit")

    async def stop(self, at_once: asyncio.Event | None = None) -> None:
        """Call itself unhealthy, take no more requests, give those that run their grace, and end the compute.

        What is no request for an explanation, such as a watch of the health, is not waited for.

        Args:
            at_once: ends the grace when it is set.
        """
        all_answered = await self._services.drain(at_once)
        # Called once only: a call that comes while another ends meets a server that gRPC has freed, and crashes.
        await self._grpc.stop(LAST_ANSWERS_SECONDS if all_answered else None)
        await self._services.stop()
        if self._endpoint is not None:
            await asyncio.to_thread(self._endpoint.stop)
        await self._services.close()


def _credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    # With it come libraries of cryptography, which a server without TLS starts without.
    from medxgan.server.identity.tls import TlsFiles, server_credentials

    return server_credentials(TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_authority))


async def serve_until_signal(settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the grace of those requests that still run.

    SIGHUP has the folder of models read again, save where it means that the terminal was closed.

    Raises:
        AuditError: the audit trail can't be written.
        BundleError: as `loaded_models`.
        OSError: the address can't be listened on.
    """
    server, port = await _listening(settings)
    stopping, at_once = asyncio.Event(), asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if at_once.is_set():  # a thread holds the end up, such as one that warms a model up
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        (at_once if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    if not _has_terminal():
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, server.read_models_again)
    address = settings.address
    if not address.startswith("unix"):
        address = f"{address.rpartition(':')[0]}:{port}"
    _log.info("warming_up", address=address)
    if not await _done_before(server.warm_up(), stopping):
        _log.info("stopping", grace_seconds=0)
        at_once.set()
        await server.stop(at_once)
        return
    told = {} if server.telemetry_port is None else {"telemetry_port": server.telemetry_port}
    _log.info("serving", address=address, models=server.model_names, **told)
    await stopping.wait()
    _log.info("stopping", grace_seconds=settings.shutdown_grace_seconds)
    await server.stop(at_once)


async def _done_before(work: Coroutine[None, None, None], event: asyncio.Event) -> bool:
    """Whether some work was done before an event came; else it is cancelled."""
    working, coming = asyncio.ensure_future(work), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({working, coming}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
        return working.done()
    finally:
        for each in (working, coming):
            each.cancel()


async def _listening(settings: ServerSettings) -> tuple[Server, int]:
    """A server of the models that the settings name, and its port. Decoders are made ready while models are opened."""
    decoder = decoder_pool(settings)
    await decoder.begin()
    try:
        server = Server(settings, await asyncio.to_thread(loaded_models, settings), decoder)
        return server, await server.listen()
    except BaseException:
        await decoder.stop()
        raise


def _has_terminal() -> bool:
    """Whether the process has a terminal, which sends SIGHUP when it is closed: that has to end the process as ever."""
    try:
        os.close(os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
