"""What a server does for its callers, whatever carries their calls: services, interceptors, models and their health."""

import asyncio
from functools import partial

import grpc
from grpc_health.v1 import health_pb2_grpc

from medxgan.server.engine.replication import Replication
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import UnsupportedError
from medxgan.server.identity.authentication import Authentication
from medxgan.server.identity.limits import CallerLimits
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.workers.messages import WorkerFailureError
from medxgan.server.images.workers.pool import DecoderPool
from medxgan.server.log import get_logger
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.control import ModelControl
from medxgan.server.models.folder import ModelFolder
from medxgan.server.models.loading import ModelLoader
from medxgan.server.models.on_demand import OnDemand
from medxgan.server.models.repository import ModelRepository
from medxgan.server.models.served_model import ServedModel
from medxgan.server.models.version_policy import VersionPolicies
from medxgan.server.open_inference import inputs
from medxgan.server.open_inference import service as open_inference
from medxgan.server.open_inference.models import Catalogue
from medxgan.server.settings import ServerSettings
from medxgan.server.shedding import Shedding, memory_bound
from medxgan.server.telemetry.audit import AuditTrail
from medxgan.server.telemetry.telemetry import Telemetry
from medxgan.server.telemetry.tracing import open_traces
from medxgan.server.wire.access import Access, AccessInterceptor
from medxgan.server.wire.descriptions import server_description
from medxgan.server.wire.explaining import Explaining
from medxgan.server.wire.health import MODEL_PREFIX, Health
from medxgan.server.wire.interceptor import AnswerLimits, RequestInterceptor, Streams
from medxgan.server.wire.probes import ProbeInterceptor
from medxgan.server.wire.reflection import ReflectionInterceptor
from medxgan.server.wire.refusals import RefusalLog
from medxgan.server.wire.service import SERVICE_NAME, TAKES_A_PLACE, ExplanationService
from medxgan.server.wire.uploads import UploadLimits, Uploads
from medxgan.v1 import explanation_pb2_grpc

_log = get_logger(__name__)

HEALTH_OF = ("", SERVICE_NAME)
"""What health is told of from the start; of every model besides."""


class Services:
    """Answers calls. Made and used inside one running event loop.

    Attributes:
        interceptors: around every call, the outermost first.
        control: changes which models are served.
        telemetry: is told of what was answered.

    Args:
        settings: of the server.
        repository: the models, loaded but not yet started.
        on_demand: brings models in that are not loaded when they are asked for; None: all are.
        decoder: that has begun already, and is ended with the services; None: one of their own.

    Raises:
        SecurityFileError: the file of identities can't be used.
        UnsupportedError: traces are wanted, and OpenTelemetry is not installed.
    """

    def __init__(
        self,
        settings: ServerSettings,
        repository: ModelRepository,
        on_demand: OnDemand | None = None,
        decoder: DecoderPool | None = None,
    ) -> None:
        # Before anything is opened that would have to be closed again.
        authentication = None if settings.identities is None else Authentication(settings.identities)
        self._settings = settings
        self._repository = repository
        self._health = Health(HEALTH_OF)
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
        self.telemetry = telemetry = Telemetry(self._trail)
        self._metrics = metrics = telemetry.metrics
        self.control = ModelControl(
            repository,
            folder,
            model_loader(settings),
            states_default=not settings.default_model,
            note=telemetry.changed,
        )
        bound = memory_bound(settings.maximum_memory_bytes)
        shedding = Shedding(bound, settings.retry_delay_seconds, uploads.give_back_memory)
        self._refusals = refusals = RefusalLog()
        limits = _caller_limits(settings, settings.maximum_rate_per_caller)
        access = Access(authentication, limits, metrics, refusals)
        most = settings.deadline_ceiling_seconds
        answers = AnswerLimits(most, min(most, settings.upload_timeout_seconds))
        self._decoder = decoder or decoder_pool(settings)
        explaining = Explaining(repository, uploads, self._decoder, telemetry, on_demand)
        intercepting = partial(
            RequestInterceptor,
            uploads=uploads,
            metrics=metrics,
            shedding=shedding,
            traces=self._traces,
            refusals=refusals,
            limits=answers,
        )
        self._requests = [
            intercepting(
                SERVICE_NAME,
                check_room=lambda method, caller: explaining.check_room(caller) if method in TAKES_A_PLACE else None,
            ),
            intercepting(
                open_inference.SERVICE_NAME,
                detach=inputs.detached,
                streams=Streams(access, open_inference.stream_error, settings.stream_idle_seconds),
            ),
        ]
        self.interceptors = [
            AccessInterceptor(access),
            # Those of an address do not use up its requests, nor these the probes.
            ProbeInterceptor(_caller_limits(settings, maximum_rate=0)),
            ReflectionInterceptor(uploads, settings.stream_idle_seconds, settings.deadline_ceiling_seconds),
            *self._requests,
        ]
        self._explanations = ExplanationService(
            repository, explaining, telemetry.statistics, server_description(settings), on_demand
        )
        catalogue = Catalogue(repository, folder.policies)
        self._open_inference = open_inference.OpenInferenceService(
            catalogue, self.control, explaining, uploads, telemetry.statistics, settings
        )
        metrics.watch(lambda: {model.bundle.name: model.admission.inside for model in repository})
        repository.on_change = self._model_changed
        for model in repository:
            self._model_changed(model, True)

    @property
    def is_ready(self) -> bool:
        """Whether the models are warm, and the server is not about to stop. May be asked from any thread."""
        return self._open_inference.ready

    @property
    def model_names(self) -> list[str]:
        """NAME/VERSION of every model that is served."""
        return self._repository.names()

    def is_model_ready(self, name: str, version: str = "") -> bool:
        """Whether a model's requests are answered; an empty version stands for any. May be asked from any thread."""
        return self._open_inference.is_model_ready(name, version)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Have a server answer `ExplanationService` and health."""
        explanation_pb2_grpc.add_ExplanationServiceServicer_to_server(  # type: ignore[no-untyped-call]
            self._explanations, server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)

    def add_open_inference_to(self, server: grpc.aio.Server) -> None:
        """Have a server answer the Open Inference Protocol."""
        self._open_inference.add_to(server)

    async def warm_up(self) -> None:
        """Warm the models and the decoders up, and from then on call itself healthy.

        Raises:
            UnsupportedError: this installation can't start the processes that decode files.
        """
        try:
            await asyncio.gather(self.control.start(), self._decoder.start())
        except WorkerFailureError as error:
            raise UnsupportedError(f"no process that decodes files could be started: {error}") from error
        self._tell_ready(True)
        if self._settings.model_control == "poll":
            self._polling = asyncio.create_task(self.control.poll(self._settings.model_poll_seconds))

    async def drain(self, at_once: asyncio.Event | None = None) -> bool:
        """Call itself unhealthy, take no more requests, and give those that run their grace.

        What is no request for an explanation, such as a watch of the health, is not waited for.

        Args:
            at_once: ends the grace when it is set.

        Returns:
            Whether all were answered.
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
        return all(requests.is_idle for requests in self._requests)

    async def stop(self) -> None:
        """End the compute."""
        await self._decoder.stop()
        await self.control.stop()

    async def close(self) -> None:
        """Write what is still to be written of the log, traces and the audit trail."""
        self._refusals.tell()
        await asyncio.to_thread(self._traces.end)
        if self._trail is not None:
            _log.info("audit_closed", last_hash=self._trail.last_hash)
            self._trail.close()

    def _tell_ready(self, is_ready: bool) -> None:
        self._open_inference.ready = is_ready
        self._metrics.ready(is_ready)
        for service in HEALTH_OF:
            self._health.set(service, is_ready)
        for model in self._repository:
            self._tell_health(model)

    def _model_changed(self, model: ServedModel, is_served: bool) -> None:
        name, running = model.bundle.name, model.engine.execution
        if is_served:
            self.telemetry.statistics.know((model.bundle.description.name, model.bundle.description.version))
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
            self._health.set(MODEL_PREFIX + service, self.is_model_ready(name, stated))

    async def _idle(self) -> None:
        for requests in self._requests:
            await requests.idle()


def _caller_limits(settings: ServerSettings, maximum_rate: float) -> CallerLimits:
    return CallerLimits(settings.maximum_requests_per_caller, maximum_rate, settings.retry_delay_seconds)


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


def decoder_pool(settings: ServerSettings) -> DecoderPool:
    """What decodes images."""
    return DecoderPool(
        ImageLimits(settings.maximum_side, settings.maximum_pixels, settings.maximum_decompressed_bytes),
        workers=settings.decoders,
        memory_bytes=settings.decoder_memory_bytes,
        cpu_seconds=settings.decoder_cpu_seconds,
        seconds=settings.decoder_seconds,
        maximum_file_bytes=settings.maximum_message_bytes,
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
    return Replication(engine, settings.device_numbers, max(1, settings.replicas))
