"""The service that explains images."""

import asyncio

import grpc
import structlog

from medxgan.server.explanation.explain import OnProgress, Progress
from medxgan.server.explanation.explanation import OpenedImage
from medxgan.server.explanation.request import resolve_settings
from medxgan.server.images.sent import SentImage
from medxgan.server.images.workers.pool import DecoderPool
from medxgan.server.models.admission import request_cost
from medxgan.server.models.replica import Replica
from medxgan.server.models.repository import ModelRepository
from medxgan.server.models.served_model import ServedModel
from medxgan.server.stopwatch import Phase, Stopwatch
from medxgan.server.wire import descriptions, responses
from medxgan.server.wire.callers import caller_of
from medxgan.server.wire.uploads import Uploads
from medxgan.server.wire.validation import validate
from medxgan.v1 import explanation_pb2, explanation_pb2_grpc

SERVICE_NAME = explanation_pb2.DESCRIPTOR.services_by_name["ExplanationService"].full_name


# ruff: noqa: ARG002, D102, N802 - the methods are named, described and given their arguments by explanation.proto
class ExplanationService(explanation_pb2_grpc.ExplanationServiceServicer):
    """Answers the methods of `medxgan.v1.ExplanationService`; explanation.proto says what they mean.

    Errors leave as exceptions: the interceptor turns them into statuses.

    Args:
        repository: the models served.
        uploads: told when a request's image has been read, so that a further one may be received.
        decoder: reads images.
        server: what the server says of itself.
    """

    def __init__(
        self,
        repository: ModelRepository,
        uploads: Uploads,
        decoder: DecoderPool,
        server: explanation_pb2.ServerDescription,
    ) -> None:
        self._repository = repository
        self._uploads = uploads
        self._decoder = decoder
        self._server = server

    async def Explain(
        self, request: explanation_pb2.ExplainRequest, context: grpc.aio.ServicerContext
    ) -> explanation_pb2.ExplainResponse:
        return await self._explain(request, caller_of(context), None)

    async def ExplainStream(self, request: explanation_pb2.ExplainRequest, context: grpc.aio.ServicerContext) -> None:
        blocks: asyncio.Queue[Progress | None] = asyncio.Queue()
        explaining = asyncio.create_task(self._explain(request, caller_of(context), blocks.put_nowait))
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
        with model.admission.enter(caller_of(context)), model.place() as replica:
            opened = await self._open(model, replica, request.image, Stopwatch())
        return responses.classify_response(model, opened)

    async def ListModels(
        self, request: explanation_pb2.ListModelsRequest, context: grpc.aio.ServicerContext
    ) -> explanation_pb2.ListModelsResponse:
        return explanation_pb2.ListModelsResponse(
            models=[descriptions.model_summary(model, self._repository.default) for model in self._repository],
            server=self._server,
        )

    async def GetModel(
        self, request: explanation_pb2.GetModelRequest, context: grpc.aio.ServicerContext
    ) -> explanation_pb2.GetModelResponse:
        validate(request)
        return descriptions.model_description(self._select(request.model), self._server)

    async def _explain(
        self, request: explanation_pb2.ExplainRequest, caller: str, on_progress: OnProgress | None
    ) -> explanation_pb2.ExplainResponse:
        stopwatch = Stopwatch()
        validate(request)
        model = self._select(request.model)
        settings = resolve_settings(request, model.bundle.description)
        cost = request_cost(settings, model.bundle.description)
        with model.admission.enter(caller, cost), model.place(cost) as replica:
            stopwatch.switch(Phase.PREPROCESS)
            opened = await self._open(model, replica, request.image, stopwatch)
            urgent = request.priority == explanation_pb2.PRIORITY_STAT
            explanation = await replica.explainer.explain(
                opened, settings, caller, stopwatch, on_progress, urgent=urgent
            )
            return await asyncio.to_thread(responses.explain_response, model, request, explanation, stopwatch)

    def _select(self, selector: explanation_pb2.ModelSelector) -> ServedModel:
        model = self._repository.select(selector)
        structlog.contextvars.bind_contextvars(model=model.bundle.name)
        return model

    async def _open(
        self, model: ServedModel, replica: Replica, image: explanation_pb2.Image, stopwatch: Stopwatch
    ) -> OpenedImage:
        """Read an image, drop it, and make of it what the networks see: what waits from here on is small."""
        # A film is large: as many are there at a time as there are decoders, the others wait as they were sent.
        sent = self._sent(image)
        try:
            async with self._decoder.film(sent, model.reduction) as film:
                self._uploads.release()
                return await replica.explainer.open(film, stopwatch)
        finally:
            sent.take()  # an error keeps this frame, and all that it names, until a collection

    def _sent(self, image: explanation_pb2.Image) -> SentImage:
        apart = self._uploads.image_bytes()
        return SentImage(image, apart) if apart else SentImage.of(image)
