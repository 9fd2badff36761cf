"""A server from its settings: the services, health and reflection behind one port."""

import asyncio
import os
import signal
from functools import partial

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE_NAME
from grpc_reflection.v1alpha import reflection, reflection_pb2

from medxgan.server.engine.replication import Replication
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import UnsupportedError
from medxgan.server.identity.authentication import Authentication
from medxgan.server.identity.limits import CallerLimits
from medxgan.server.identity.tls import TlsFiles, server_credentials
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.workers.messages import WorkerFailureError
from medxgan.server.images.workers.pool import DecoderPool
from medxgan.server.log import get_logger
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.control import ModelControl
from medxgan.server.models.folder import ModelFolder
from medxgan.server.models.loading import ModelLoader
from medxgan.server.models.repository import ModelRepository
from medxgan.server.models.served_model import ServedModel
from medxgan.server.models.version_policy import VersionPolicies
from medxgan.server.open_inference import inputs, messages
from medxgan.server.open_inference import service as open_inference
from medxgan.server.open_inference.models import Catalogue
from medxgan.server.settings import ServerSettings
from medxgan.server.shedding import Shedding, memory_bound
from medxgan.server.telemetry.audit import AuditTrail
from medxgan.server.telemetry.endpoint import TelemetryEndpoint
from medxgan.server.telemetry.metrics import Metrics
from medxgan.server.telemetry.telemetry import Telemetry
from medxgan.server.telemetry.tracing import open_traces
from medxgan.server.wire.access import AccessInterceptor
from medxgan.server.wire.descriptions import server_description
from medxgan.server.wire.explaining import Explaining
from medxgan.server.wire.health import MODEL_PREFIX, Health
from medxgan.server.wire.interceptor import RequestInterceptor
from medxgan.server.wire.reflection import pool_of
from medxgan.server.wire.service import SERVICE_NAME, ExplanationService
from medxgan.server.wire.uploads import UploadLimits, Uploads
from medxgan.v1 import explanation_pb2, explanation_pb2_grpc

_log = get_logger(__name__)

_HEALTH_OF = ("", SERVICE_NAME)

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

    Raises:
        SecurityFileError: a file of certificates, keys or identities can't be used.
        UnsupportedError: traces are wanted, and OpenTelemetry is not installed.
    """

    def __init__(self, settings: ServerSettings, repository: ModelRepository) -> None:
        # Before anything is opened that would have to be closed again.
        authentication = None if settings.identities is None else Authentication(settings.identities)
        self._credentials = _credentials(settings)
        self._settings = settings
        self._repository = repository
        self._health = Health(_HEALTH_OF)
        folder = model_folder(settings)
        self._polling: asyncio.Task[None] | None = None
        uploads = Uploads(
            UploadLimits(
                settings.maximum_receiving,
                settings.maximum_receiving_per_caller,
                settings.maximum_held_bytes,
                settings.maximum_held_bytes_per_caller,
                settings.upload_timeout_seconds,
                maximum_streams=settings.maximum_streams,
                maximum_streams_per_caller=settings.maximum_streams_per_caller,
                retry_delay_seconds=settings.retry_delay_seconds,
            )
        )
        self._traces = open_traces(settings.traces_endpoint)
        self._trail = None if settings.audit is None else AuditTrail(settings.audit)
        self._telemetry = telemetry = Telemetry(self._trail)
        self._metrics = metrics = telemetry.metrics
        self._control = ModelControl(
            repository,
            folder,
            model_loader(settings),
            states_default=not settings.default_model,
            note=telemetry.changed,
        )
        bound = memory_bound(settings.maximum_memory_bytes)
        shedding = Shedding(bound, settings.retry_delay_seconds, uploads.give_back_memory)
        self._requests = [
            RequestInterceptor(SERVICE_NAME, uploads, metrics, shedding, self._traces),
            RequestInterceptor(
                open_inference.SERVICE_NAME,
                uploads,
                metrics,
                shedding,
                self._traces,
                inputs.detached,
                open_inference.stream_error,
                settings.stream_idle_seconds,
            ),
        ]
        self._grpc = grpc.aio.server(
            interceptors=[_access(settings, authentication, metrics), *self._requests],
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
        self._decoder = DecoderPool(
            ImageLimits(settings.maximum_side, settings.maximum_pixels, settings.maximum_decompressed_bytes),
            workers=settings.decoders,
            memory_bytes=settings.decoder_memory_bytes,
            cpu_seconds=settings.decoder_cpu_seconds,
            seconds=settings.decoder_seconds,
            maximum_file_bytes=settings.maximum_message_bytes,
        )
        explaining = Explaining(repository, uploads, self._decoder, telemetry)
        explanation_pb2_grpc.add_ExplanationServiceServicer_to_server(  # type: ignore[no-untyped-call]
            ExplanationService(repository, explaining, telemetry.statistics, server_description(settings)), self._grpc
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        services = [SERVICE_NAME, HEALTH_SERVICE_NAME, reflection.SERVICE_NAME]
        described = [explanation_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
        catalogue = Catalogue(repository, folder.policies)
        self._open_inference = open_inference.OpenInferenceService(
            catalogue, self._control, explaining, uploads, telemetry.statistics, settings
        )
        if settings.open_inference:
            self._open_inference.add_to(self._grpc)
            services.append(open_inference.SERVICE_NAME)
            described.append(messages.DESCRIPTOR)
        if settings.reflection == "on" or (settings.reflection == "auto" and settings.identities is None):
            reflection.enable_server_reflection(services, self._grpc, pool_of(described))
        self._endpoint: TelemetryEndpoint | None = None
        self._metrics.watch(lambda: {model.bundle.name: model.admission.inside for model in repository})
        repository.on_change = self._model_changed
        for model in repository:
            self._model_changed(model, True)

    @property
    def telemetry_port(self) -> int | None:
        """That the figures are told on; None where they are not told."""
        return None if self._endpoint is None else self._endpoint.port

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
                self._telemetry.figures,
                lambda: self._open_inference.ready,
                self._open_inference.is_model_ready,
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
        try:
            await asyncio.gather(self._control.start(), self._decoder.start())
        except WorkerFailureError as error:
            raise UnsupportedError(f"no process that decodes files could be started: {error}") from error
        self._tell_ready(True)
        if self._settings.model_control == "poll":
            self._polling = asyncio.create_task(self._control.poll(self._settings.model_poll_seconds))

    def read_models_again(self) -> None:
        """Serve the models that lie in the folder now, soon; where calls load them, only of names that are served."""
        self._control.read_again_soon(loaded=self._settings.model_control == "explicit")

    async def stop(self, at_once: asyncio.Event | None = None) -> None:
        """Call itself unhealthy, take no more requests, give those that run their grace, and end the compute.

        What is no request for an explanation, such as a watch of the health, is not waited for.

        Args:
            at_once: ends the grace when it is set.
        """
        self._health.stop()
        self._tell_ready(False)
        if self._polling is not None:
            self._polling.cancel()
        for requests in self._requests:
            requests.refuse()
        waits: list[asyncio.Task[object]] = [asyncio.create_task(self._idle())]
        if at_once is not None:
            waits.append(asyncio.create_task(at_once.wait()))
        await asyncio.wait(waits, timeout=self._settings.shutdown_grace_seconds, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()
        # Called once only: a call that comes while another ends meets a server that gRPC has freed, and crashes.
        is_idle = all(requests.is_idle for requests in self._requests)
        await self._grpc.stop(LAST_ANSWERS_SECONDS if is_idle else None)
        await self._decoder.stop()
        await self._control.stop()
        if self._endpoint is not None:
            await asyncio.to_thread(self._endpoint.stop)
        await asyncio.to_thread(self._traces.end)
        if self._trail is not None:
            _log.info("audit_closed", last_hash=self._trail.last_hash)
            self._trail.close()

    def _tell_ready(self, is_ready: bool) -> None:
        self._open_inference.ready = is_ready
        self._metrics.ready(is_ready)
        for service in _HEALTH_OF:
            self._health.set(service, is_ready)
        for model in self._repository:
            self._tell_health(model)

    def _model_changed(self, model: ServedModel, is_served: bool) -> None:
        name, running = model.bundle.name, model.engine.execution
        if is_served:
            self._telemetry.statistics.know((model.bundle.description.name, model.bundle.description.version))
            self._metrics.serve(name, {"engine": running.engine, "provider": running.provider})
            for replica in model.replicas:
                replica.watch(partial(self._metrics.advanced, name))
        else:
            self._metrics.withdraw(name)
        self._tell_health(model)

    def _tell_health(self, model: ServedModel) -> None:
        """Say of a model's version, and of its name, whether requests are answered."""
        name, version = model.bundle.description.name, model.bundle.description.version
        for service, stated in ((name, ""), (f"{name}/{version}", version)):
            self._health.set(MODEL_PREFIX + service, self._open_inference.is_model_ready(name, stated))

    async def _idle(self) -> None:
        for requests in self._requests:
            await requests.idle()


def _access(settings: ServerSettings, authentication: Authentication | None, metrics: Metrics) -> AccessInterceptor:
    limits = CallerLimits(
        settings.maximum_requests_per_caller, settings.maximum_rate_per_caller, settings.retry_delay_seconds
    )
    return AccessInterceptor(authentication, limits, settings.deadline_ceiling_seconds, metrics)


def _credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return server_credentials(TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_authority))


def loaded_models(settings: ServerSettings) -> ModelRepository:
    """Load the models that the settings name.

    Raises:
        BundleError: the folder holds no bundle, or one that can't be served.
        UnsupportedError: this installation has not what the provider needs.
    """
    return ModelRepository.load(
        model_folder(settings),
        model_loader(settings),
        settings.default_model,
        strict=settings.strict,
        names=settings.names_at_start,
    )


def model_folder(settings: ServerSettings) -> ModelFolder:
    """Where the models come from."""
    return ModelFolder(settings.models, VersionPolicies.parse(settings.version_policy))


def model_loader(settings: ServerSettings) -> ModelLoader:
    """What makes models of bundles."""
    capacity = ModelCapacity(
        settings.maximum_batch, settings.maximum_waiting, settings.caller_share, settings.retry_delay_seconds
    )
    return ModelLoader(replication_of(settings), capacity, settings.trusted_keys, settings.require_signature)


def replication_of(settings: ServerSettings) -> Replication:
    """What runs each model."""
    engine = EngineSettings(
        provider=settings.provider,
        threads=settings.threads,
        maximum_rows=settings.maximum_batch,
        half_precision=settings.half_precision,
        cache=settings.cache,
    )
    return Replication(engine, settings.device_numbers, settings.replicas)


async def serve_until_signal(settings: ServerSettings, repository: ModelRepository) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the grace of those requests that still run.

    SIGHUP has the folder of models read again, save where it means that the terminal was closed.

    Raises:
        OSError: the address can't be listened on.
    """
    stopping, at_once = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (at_once if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    server = Server(settings, repository)
    if not _has_terminal():
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, server.read_models_again)
    port = await server.listen()
    address = settings.address
    if not address.startswith("unix"):
        address = f"{address.rpartition(':')[0]}:{port}"
    _log.info("warming_up", address=address)
    await server.warm_up()
    told = {} if server.telemetry_port is None else {"telemetry_port": server.telemetry_port}
    _log.info("serving", address=address, models=repository.names(), **told)
    await stopping.wait()
    _log.info("stopping", grace_seconds=settings.shutdown_grace_seconds)
    await server.stop(at_once)


def _has_terminal() -> bool:
    """Whether the process has a terminal, which sends SIGHUP when it is closed: that has to end the process as ever."""
    try:
        os.close(os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
