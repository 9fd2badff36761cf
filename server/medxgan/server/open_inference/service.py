"""The service of the Open Inference Protocol."""

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2

from medxgan.server.errors import InvalidRequestError, UnknownRegionError, UnsupportedError, shown
from medxgan.server.explanation.explain import Progress
from medxgan.server.models.control import ModelControl
from medxgan.server.models.repository import ModelState
from medxgan.server.open_inference import descriptions, parameters
from medxgan.server.open_inference.inference import Inferences
from medxgan.server.open_inference.messages import SERVICE, inference
from medxgan.server.open_inference.models import Catalogue
from medxgan.server.open_inference.outputs import final_response, progress_response
from medxgan.server.open_inference.shared_memory import SharedMemory
from medxgan.server.open_inference.statistics import model_statistics
from medxgan.server.settings import ServerSettings
from medxgan.server.telemetry.statistics import Statistics
from medxgan.server.wire.callers import caller_of
from medxgan.server.wire.explaining import Explaining
from medxgan.server.wire.streams import AnswerStream
from medxgan.server.wire.uploads import Uploads

SERVICE_NAME = SERVICE.full_name

_CONTROL = "models are loaded and unloaded by calls only where the server was started with --model-control explicit"
_CUDA = "this server takes no CUDA shared memory: images are decoded by the host; use system shared memory"
_TRACING = "traces are set when the server starts, by traces_endpoint, and can't be changed while it runs"
_LOGGING = "the log is set when the server starts, by log_level and log_format, and can't be changed while it runs"


# ruff: noqa: ARG002, D102, N802 - the methods are named, described and given their arguments by open_inference.proto
class OpenInferenceService:
    """Answers the methods of `inference.GRPCInferenceService`; open_inference.proto says what they mean.

    Errors leave as exceptions: the interceptor turns them into statuses, or into messages of a stream.

    Attributes:
        ready: whether the models are warm, and the server is not about to stop.

    Args:
        catalogue: the models.
        control: loads and unloads their bundles.
        explaining: makes the explanations.
        uploads: holds the images of the requests.
        statistics: counts the requests.
        settings: of the server.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        control: ModelControl,
        explaining: Explaining,
        uploads: Uploads,
        statistics: Statistics,
        settings: ServerSettings,
    ) -> None:
        self.ready = False
        self._catalogue = catalogue
        self._control = control
        self._regions = SharedMemory(allowed=settings.takes_shared_memory)
        self._statistics = statistics
        self._inferences = Inferences(
            explaining, uploads, self._regions, self._statistics, settings.maximum_message_bytes
        )
        self._settings = settings

    def add_to(self, server: grpc.aio.Server) -> None:
        """Have a server answer the protocol's methods."""
        handlers = {}
        for method in SERVICE.methods:
            kind = (
                grpc.stream_stream_rpc_method_handler
                if method.client_streaming
                else grpc.unary_unary_rpc_method_handler
            )
            handlers[method.name] = kind(
                getattr(self, method.name),
                request_deserializer=getattr(inference, method.input_type.name).FromString,
                response_serializer=getattr(inference, method.output_type.name).SerializeToString,
            )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))

    def is_model_ready(self, name: str, version: str = "") -> bool:
        """Whether a model's requests are answered; an empty version stands for any. May be called from any thread."""
        return self.ready and any(
            model.name == name and version in ("", model.version) and model.served.is_running
            for model in self._catalogue
        )

    async def ServerLive(
        self, request: inference.ServerLiveRequest, context: grpc.aio.ServicerContext
    ) -> inference.ServerLiveResponse:
        return inference.ServerLiveResponse(live=True)

    async def ServerReady(
        self, request: inference.ServerReadyRequest, context: grpc.aio.ServicerContext
    ) -> inference.ServerReadyResponse:
        return inference.ServerReadyResponse(ready=self.ready)

    async def ModelReady(
        self, request: inference.ModelReadyRequest, context: grpc.aio.ServicerContext
    ) -> inference.ModelReadyResponse:
        return inference.ModelReadyResponse(ready=self.is_model_ready(request.name, request.version))

    async def ServerMetadata(
        self, request: inference.ServerMetadataRequest, context: grpc.aio.ServicerContext
    ) -> inference.ServerMetadataResponse:
        return descriptions.server_metadata(shared_memory=self._regions.allowed)

    async def ModelMetadata(
        self, request: inference.ModelMetadataRequest, context: grpc.aio.ServicerContext
    ) -> inference.ModelMetadataResponse:
        model = self._catalogue.find(request.name, request.version)
        return descriptions.model_metadata(model, self._catalogue.versions(request.name))

    async def ModelConfig(
        self, request: inference.ModelConfigRequest, context: grpc.aio.ServicerContext
    ) -> inference.ModelConfigResponse:
        model = self._catalogue.find(request.name, request.version)
        policy = self._catalogue.policies.of(model.bundle_name)
        return inference.ModelConfigResponse(config=descriptions.model_configuration(model, policy))

    async def ModelStatistics(
        self, request: inference.ModelStatisticsRequest, context: grpc.aio.ServicerContext
    ) -> inference.ModelStatisticsResponse:
        if not request.name:
            models = list(self._catalogue)
        elif request.version:
            models = [self._catalogue.find(request.name, request.version)]
        else:
            models = self._catalogue.versions(request.name)
        counted = [model_statistics(model, self._statistics.of((model.name, model.version))) for model in models]
        return inference.ModelStatisticsResponse(model_stats=counted)

    async def ModelInfer(
        self, request: inference.ModelInferRequest, context: grpc.aio.ServicerContext
    ) -> inference.ModelInferResponse:
        model = self._catalogue.find(request.model_name, request.model_version)
        return await self._inferences.infer(request, model, caller_of(context))

    async def ModelStreamInfer(self, request: inference.ModelInferRequest, context: AnswerStream) -> None:
        model = self._catalogue.find(request.model_name, request.model_version)

        async def tell(progress: Progress) -> None:
            await context.write(progress_response(request, model, progress))

        empty = parameters.wants_empty_final_response(request.parameters)
        response = await self._inferences.infer(request, model, caller_of(context), tell)
        # A model without progress has one response, which is the last by itself.
        empty = empty and model.decoupled
        response.parameters[parameters.FINAL_RESPONSE].bool_param = not empty
        await context.write(inference.ModelStreamInferResponse(infer_response=response))
        if empty:
            await context.write(final_response(request, model))

    async def RepositoryIndex(
        self, request: inference.RepositoryIndexRequest, context: grpc.aio.ServicerContext
    ) -> inference.RepositoryIndexResponse:
        _check_repository(request.repository_name)
        index = inference.RepositoryIndexResponse()
        for status in self._catalogue.statuses():
            state, reason = status.state, status.reason
            if state is ModelState.READY and not self.ready:
                state, reason = ModelState.UNAVAILABLE, "the server is warming up or stopping"
            if state is ModelState.READY or not request.ready:
                index.models.add(name=status.name, version=status.version, state=state, reason=reason)
        if not request.ready:
            for name in await self._control.names():
                index.models.add(name=name)
        return index

    async def RepositoryModelLoad(
        self, request: inference.RepositoryModelLoadRequest, context: grpc.aio.ServicerContext
    ) -> inference.RepositoryModelLoadResponse:
        self._check_control(request.repository_name)
        if overrides := sorted(request.parameters):
            expected = "expected none: a bundle is served as it lies in the folder"
            raise InvalidRequestError(f"parameters.{shown(overrides[0])}", expected)
        await self._control.load(request.model_name, caller_of(context))
        return inference.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, request: inference.RepositoryModelUnloadRequest, context: grpc.aio.ServicerContext
    ) -> inference.RepositoryModelUnloadResponse:
        self._check_control(request.repository_name)
        # Whose value changes nothing: no model depends on another.
        if unknown := sorted(request.parameters.keys() - {"unload_dependents"}):
            raise InvalidRequestError(f"parameters.{shown(unknown[0])}", "unknown; there is unload_dependents")
        await self._control.unload(request.model_name, caller_of(context))
        return inference.RepositoryModelUnloadResponse()

    def _check_control(self, repository: str) -> None:
        _check_repository(repository)
        if self._settings.model_control != "explicit":
            raise UnsupportedError(_CONTROL)

    async def SystemSharedMemoryStatus(
        self, request: inference.SystemSharedMemoryStatusRequest, context: grpc.aio.ServicerContext
    ) -> inference.SystemSharedMemoryStatusResponse:
        response = inference.SystemSharedMemoryStatusResponse()
        for region in self._regions.status(request.name):
            status = response.regions[region.name]
            status.name, status.key = region.name, region.key
            status.offset, status.byte_size = region.offset, region.byte_size
        return response

    async def SystemSharedMemoryRegister(
        self, request: inference.SystemSharedMemoryRegisterRequest, context: grpc.aio.ServicerContext
    ) -> inference.SystemSharedMemoryRegisterResponse:
        self._regions.register(request.name, request.key, request.offset, request.byte_size)
        return inference.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryUnregister(
        self, request: inference.SystemSharedMemoryUnregisterRequest, context: grpc.aio.ServicerContext
    ) -> inference.SystemSharedMemoryUnregisterResponse:
        self._regions.unregister(request.name)
        return inference.SystemSharedMemoryUnregisterResponse()

    async def CudaSharedMemoryStatus(
        self, request: inference.CudaSharedMemoryStatusRequest, context: grpc.aio.ServicerContext
    ) -> inference.CudaSharedMemoryStatusResponse:
        if request.name:
            raise UnknownRegionError(f"no region {shown(request.name)} of CUDA shared memory is registered; {_CUDA}")
        return inference.CudaSharedMemoryStatusResponse()

    async def CudaSharedMemoryRegister(
        self, request: inference.CudaSharedMemoryRegisterRequest, context: grpc.aio.ServicerContext
    ) -> inference.CudaSharedMemoryRegisterResponse:
        raise UnsupportedError(_CUDA)

    async def CudaSharedMemoryUnregister(
        self, request: inference.CudaSharedMemoryUnregisterRequest, context: grpc.aio.ServicerContext
    ) -> inference.CudaSharedMemoryUnregisterResponse:
        return inference.CudaSharedMemoryUnregisterResponse()

    async def TraceSetting(
        self, request: inference.TraceSettingRequest, context: grpc.aio.ServicerContext
    ) -> inference.TraceSettingResponse:
        if request.settings:
            raise UnsupportedError(_TRACING)
        if request.model_name:
            self._catalogue.versions(request.model_name)
        response = inference.TraceSettingResponse()
        response.settings["trace_level"].value.append("TIMESTAMPS" if self._settings.traces_endpoint else "OFF")
        return response

    async def LogSettings(
        self, request: inference.LogSettingsRequest, context: grpc.aio.ServicerContext
    ) -> inference.LogSettingsResponse:
        if request.settings:
            raise UnsupportedError(_LOGGING)
        level = self._settings.log_level
        response = inference.LogSettingsResponse()
        response.settings["log_file"].string_param = ""
        response.settings["log_info"].bool_param = level in ("debug", "info")
        response.settings["log_warning"].bool_param = level != "error"
        response.settings["log_error"].bool_param = True
        response.settings["log_verbose_level"].uint32_param = 1 if level == "debug" else 0
        response.settings["log_format"].string_param = self._settings.log_format
        return response


def _check_repository(name: str) -> None:
    if name:
        raise InvalidRequestError("repository_name", "expected none: there is one repository, without a name")


def stream_error(status: status_pb2.Status, request: Message | None) -> inference.ModelStreamInferResponse:
    """What a stream answers to a request that fails: clients match responses with requests by the id."""
    response = inference.ModelStreamInferResponse(error_message=status.message)
    if isinstance(request, inference.ModelInferRequest):
        response.infer_response.id = request.id
        response.infer_response.model_name = request.model_name
        response.infer_response.parameters[parameters.FINAL_RESPONSE].bool_param = True
    return response
