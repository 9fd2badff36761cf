"""The service that explains images."""

import asyncio
import time

import grpc
import structlog

from medxgan.server.admission import Admission
from medxgan.server.explainers.settings import resolve_attribution_settings
from medxgan.server.explainers.table import check_methods
from medxgan.server.images.decoding import decode_image
from medxgan.server.images.grey import GreyImage
from medxgan.server.images.limits import ImageLimits
from medxgan.server.inversion import Progress, resolve_settings
from medxgan.server.model import ServedModel
from medxgan.server.repository import ModelRepository
from medxgan.server.scheduler import OnProgress
from medxgan.server.services import responses
from medxgan.server.services.requests import attribution_rows, resolve_extent
from medxgan.server.validation import validate
from medxgan.v1 import explanation_pb2, explanation_pb2_grpc

SERVICE_NAME = explanation_pb2.DESCRIPTOR.services_by_name["ExplanationService"].full_name


# ruff: noqa: ARG002, D102, N802 - the methods are named, described and given their arguments by explanation.proto
class ExplanationService(explanation_pb2_grpc.ExplanationServiceServicer):
    """Answers the methods of `medxgan.v1.ExplanationService`; explanation.proto says what they mean.

    Errors leave as exceptions: the interceptor turns them into statuses.

    Args:
        repository: the models served.
        admission: bounds the requests that compute.
        limits: the largest image taken.
    """

    def __init__(self, repository: ModelRepository, admission: Admission, limits: ImageLimits) -> None:
        self._repository = repository
        self._admission = admission
        self._limits = limits

    async def Explain(
        self, request: explanation_pb2.ExplainRequest, context: grpc.aio.ServicerContext
    ) -> explanation_pb2.ExplainResponse:
        return await self._explain(request, None)

    async def ExplainStream(self, request: explanation_pb2.ExplainRequest, context: grpc.aio.ServicerContext) -> None:
        blocks: asyncio.Queue[Progress | None] = asyncio.Queue()
        explaining = asyncio.create_task(self._explain(request, blocks.put_nowait))
        explaining.add_done_callback(lambda _: blocks.put_nowait(None))
        try:
            while (progress := await blocks.get()) is not None:
                await context.write(responses.progress_response(progress))
            await context.write(explanation_pb2.ExplainStreamResponse(result=await explaining))
        finally:
            explaining.cancel()

    async def Classify(
        self, request: explanation_pb2.ClassifyRequest, context: grpc.aio.ServicerContext
    ) -> explanation_pb2.ClassifyResponse:
        validate(request)
        model = self._select(request.model)
        with self._admission.enter():
            image = await self._decode(request.image)
            return responses.classify_response(model, image, await model.classify(image))

    async def Attribute(
        self, request: explanation_pb2.AttributeRequest, context: grpc.aio.ServicerContext
    ) -> explanation_pb2.AttributeResponse:
        validate(request)
        model = self._select(request.model)
        description = model.bundle.description
        settings = resolve_attribution_settings(request, description)
        check_methods(request.methods, settings.target, description)
        with self._admission.enter(attribution_rows(request, settings)):
            image = await self._decode(request.image)
            x = await model.preprocess(image)
            attributions = await model.attribute(x, request.methods, settings)
        return responses.attribute_response(model, image, settings, attributions)

    async def ListModels(
        self, request: explanation_pb2.ListModelsRequest, context: grpc.aio.ServicerContext
    ) -> explanation_pb2.ListModelsResponse:
        return explanation_pb2.ListModelsResponse(models=[responses.model_summary(model) for model in self._repository])

    async def GetModel(
        self, request: explanation_pb2.GetModelRequest, context: grpc.aio.ServicerContext
    ) -> explanation_pb2.GetModelResponse:
        validate(request)
        model = self._select(request.model)
        return explanation_pb2.GetModelResponse(
            model=model.identity, bundle=model.bundle.description, execution=model.execution
        )

    async def _explain(
        self, request: explanation_pb2.ExplainRequest, on_progress: OnProgress | None
    ) -> explanation_pb2.ExplainResponse:
        validate(request)
        model = self._select(request.model)
        settings = resolve_settings(request.inversion, model.bundle.description)
        extent = resolve_extent(request, settings)
        with self._admission.enter(settings.restarts):
            arrived = time.perf_counter()
            image = await self._decode(request.image)
            decoded = time.perf_counter()
            explanation = await model.explain(image, settings, request.seed, on_progress, extent)
            explained = time.perf_counter()
            maps = await asyncio.to_thread(responses.render_maps, explanation, request.maps)
            frames = await asyncio.to_thread(responses.render_trajectory, explanation, request.trajectory.form)
            rendered = time.perf_counter()
        return responses.explain_response(model, explanation, maps, frames, decoded - arrived, rendered - explained)

    def _select(self, selector: explanation_pb2.ModelSelector) -> ServedModel:
        model = self._repository.select(selector)
        structlog.contextvars.bind_contextvars(model=f"{model.identity.name}/{model.identity.version}")
        return model

    async def _decode(self, image: explanation_pb2.Image) -> GreyImage:
        return await asyncio.to_thread(decode_image, image, self._limits)
