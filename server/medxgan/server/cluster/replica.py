"""What Ray Serve runs in every replica: our services, with Ray's proxy in front in place of a port of their own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import TypeVar, cast

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from ray import serve
from ray.serve.grpc_util import RayServegRPCContext

from medxgan.bundle import BundleError
from medxgan.server.cluster.calls import Call, Handlers, RefusedError
from medxgan.server.engine.sessions import share_between_sessions
from medxgan.server.log import logging_to_standard_error
from medxgan.server.models.on_demand import OnDemand, readable_bundles
from medxgan.server.models.repository import ModelRepository
from medxgan.server.services import Services, loaded_models, model_folder, model_loader
from medxgan.server.settings import ServerSettings
from medxgan.server.wire.service import SERVICE_NAME
from medxgan.v1 import explanation_pb2

Answer = TypeVar("Answer", bound=Message)

_NO_WATCH = "behind Ray's proxy health is asked for by Check; a watch would count as a request that never ends"


# ruff: noqa: N802 - Ray calls a method by the name that the .proto gives it
class Replica:
    """Answers `ExplanationService` and health; Ray's proxy calls a method by its name.

    Args:
        settings: of every replica.

    Raises:
        BundleError: the folder of models holds none, or one that can't be served.
        UnsupportedError: this installation has not what the provider needs.
    """

    async def __init__(self, settings: ServerSettings) -> None:  # type: ignore[misc]  # Ray awaits it
        self._running = ExitStack()
        self._running.enter_context(logging_to_standard_error(settings.log_format, settings.log_level))
        share_between_sessions(settings.threads)
        self._settings = settings
        if settings.ray_models:
            repository, on_demand = self._models_on_demand()
        else:
            repository, on_demand = loaded_models(settings), None
        self._services = Services(settings, repository, on_demand)
        self._handlers = Handlers(self._services.interceptors, settings.maximum_message_bytes)
        self._services.add_to(self._handlers)
        await self._services.warm_up()

    async def Explain(
        self, request: explanation_pb2.ExplainRequest, grpc_context: RayServegRPCContext
    ) -> explanation_pb2.ExplainResponse:
        """As explanation.proto has it, like the next."""
        return await self._unary("Explain", request, grpc_context, explanation_pb2.ExplainResponse)

    async def ExplainStream(
        self, request: explanation_pb2.ExplainRequest, grpc_context: RayServegRPCContext
    ) -> AsyncIterator[Message]:
        """A status other than OK comes behind an empty message, which says nothing: Ray has no other way for it."""
        messages: asyncio.Queue[Message | None] = asyncio.Queue()
        call = Call(grpc_context, messages.put)
        answering = asyncio.create_task(self._handlers.answer(f"/{SERVICE_NAME}/ExplainStream", request, call))
        answering.add_done_callback(lambda _: messages.put_nowait(None))
        del request
        try:
            while (message := await messages.get()) is not None:
                yield message
            await answering
        except RefusedError as refused:
            _end(grpc_context, refused)
            yield explanation_pb2.ExplainStreamResponse()
        finally:
            # Of a caller who has left: the rows leave the batch at the next block.
            answering.cancel()

    async def Classify(
        self, request: explanation_pb2.ClassifyRequest, grpc_context: RayServegRPCContext
    ) -> explanation_pb2.ClassifyResponse:
        """As explanation.proto has it, like the next."""
        return await self._unary("Classify", request, grpc_context, explanation_pb2.ClassifyResponse)

    async def ListModels(
        self, request: explanation_pb2.ListModelsRequest, grpc_context: RayServegRPCContext
    ) -> explanation_pb2.ListModelsResponse:
        """The models that any replica serves, also where this one has not loaded them."""
        return await self._unary("ListModels", request, grpc_context, explanation_pb2.ListModelsResponse)

    async def GetModel(
        self, request: explanation_pb2.GetModelRequest, grpc_context: RayServegRPCContext
    ) -> explanation_pb2.GetModelResponse:
        """A model is loaded for it, where it is not: how it is run is a part of the answer."""
        return await self._unary("GetModel", request, grpc_context, explanation_pb2.GetModelResponse)

    async def Check(
        self, request: health_pb2.HealthCheckRequest, grpc_context: RayServegRPCContext
    ) -> health_pb2.HealthCheckResponse:
        """The health of the replica that answers, and of its models."""
        return await self._unary("Check", request, grpc_context, health_pb2.HealthCheckResponse, HEALTH)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, grpc_context: RayServegRPCContext
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Refused, in the way of gRPC's health protocol."""
        del request
        _end(grpc_context, RefusedError(grpc.StatusCode.UNIMPLEMENTED, _NO_WATCH))
        yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)

    async def figures(self) -> tuple[str, str]:
        """This replica's name and its figures for Prometheus; for a handle of the deployment."""
        return serve.get_replica_context().replica_id.unique_id, self._services.telemetry.figures().decode()

    async def check_health(self) -> None:
        """Called by Ray again and again.

        Raises:
            RuntimeError: the replica has to be replaced.
        """
        if not self._services.is_ready:
            raise RuntimeError("the services are not ready")

    async def __del__(self) -> None:
        """Called by Ray, once the requests are answered."""
        await self._services.drain()
        await self._services.stop()
        await self._services.close()
        self._running.close()

    async def _unary(
        self,
        method: str,
        request: Message,
        grpc_context: RayServegRPCContext,
        answer: type[Answer],
        service: str = SERVICE_NAME,
    ) -> Answer:
        call = Call(grpc_context, _nowhere)
        try:
            answered = await self._handlers.answer(f"/{service}/{method}", request, call)
        except RefusedError as refused:
            # Of an exception Ray's proxy would send the code and the text, and drop the details.
            _end(grpc_context, refused)
            return answer()
        return cast("Answer", answered)

    def _models_on_demand(self) -> tuple[ModelRepository, OnDemand]:
        """An empty repository, and what loads into it, in place of what was not used for longest."""
        settings = self._settings
        folder = model_folder(settings)
        bundles = readable_bundles(folder, model_loader(settings), strict=settings.strict)
        names = {bundle.description.name for bundle in bundles}
        default = settings.default_model or folder.stated_default() or (min(names) if len(names) == 1 else "")
        if default and default not in names:
            raise BundleError(f"default_model: expected one of {', '.join(sorted(names))}, got {default}")

        async def load(name: str) -> _Loaded:
            await self._services.control.load(name)
            return _Loaded(partial(self._services.control.unload, name))

        hold = serve.multiplexed(max_num_models_per_replica=settings.ray_models)(load)
        repository = ModelRepository([], default)
        return repository, OnDemand(bundles, repository, hold)


class _Loaded:
    """A loaded name. Ray awaits its `__del__`; as an attribute it is not called by Python again."""

    def __init__(self, unload: Callable[[], Awaitable[None]]) -> None:
        self.__del__ = unload


def _end(grpc_context: RayServegRPCContext, refused: RefusedError) -> None:
    grpc_context.set_code(refused.code)
    grpc_context.set_details(refused.details)
    grpc_context.set_trailing_metadata(refused.trailing_metadata)


async def _nowhere(message: Message) -> None:
    raise TypeError(f"a call with one answer writes no {type(message).__name__}")
