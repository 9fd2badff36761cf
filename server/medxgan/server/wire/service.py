"""The service that explains images."""

from functools import partial

import grpc

from medxgan.server.explanation.explain import OnProgress, Progress
from medxgan.server.explanation.explanation import Explanation
from medxgan.server.models.on_demand import OnDemand
from medxgan.server.models.repository import ModelRepository
from medxgan.server.models.served_model import ServedModel
from medxgan.server.telemetry.statistics import Statistics
from medxgan.server.wire import descriptions, responses
from medxgan.server.wire.callers import caller_of
from medxgan.server.wire.explaining import Explaining, telling
from medxgan.server.wire.validation import validate
from medxgan.v1 import explanation_pb2, explanation_pb2_grpc

SERVICE_NAME = explanation_pb2.DESCRIPTOR.services_by_name["ExplanationService"].full_name

TAKES_A_PLACE = frozenset({"Explain", "ExplainStream", "Classify"})
"""Methods whose requests take a place of their model."""


# ruff: noqa: ARG002, D102, N802 - the methods are named, described and given their arguments by explanation.proto
class ExplanationService(explanation_pb2_grpc.ExplanationServiceServicer):
    """Answers the methods of `medxgan.v1.ExplanationService`; explanation.proto says what they mean.

    Errors leave as exceptions: the interceptor turns them into statuses.

    Args:
        repository: the models served.
        explaining: makes the explanations.
        statistics: counts the requests.
        server: what the server says of itself.
        on_demand: knows models that are not loaded; None: all are.
    """

    def __init__(
        self,
        repository: ModelRepository,
        explaining: Explaining,
        statistics: Statistics,
        server: explanation_pb2.ServerDescription,
        on_demand: OnDemand | None = None,
    ) -> None:
        self._repository = repository
        self._explaining = explaining
        self._statistics = statistics
        self._server = server
        self._on_demand = on_demand

    async def Explain(
        self, request: explanation_pb2.ExplainRequest, context: grpc.aio.ServicerContext
    ) -> explanation_pb2.ExplainResponse:
        return await self._explain(request, caller_of(context), None)

    async def ExplainStream(self, request: explanation_pb2.ExplainRequest, context: grpc.aio.ServicerContext) -> None:
        async def tell(progress: Progress) -> None:
            await context.write(responses.progress_response(progress))

        result = await telling(partial(self._explain, request, caller_of(context)), tell)
        await context.write(explanation_pb2.ExplainStreamResponse(result=result))

    async def Classify(
        self, request: explanation_pb2.ClassifyRequest, context: grpc.aio.ServicerContext
    ) -> explanation_pb2.ClassifyResponse:
        image = self._explaining.sent(request.image)
        with self._statistics.counted() as course:
            model, opened = await self._explaining.classify(request, image, caller_of(context), course)
            return responses.classify_response(model, opened)

    async def ListModels(
        self, request: explanation_pb2.ListModelsRequest, context: grpc.aio.ServicerContext
    ) -> explanation_pb2.ListModelsResponse:
        models = [descriptions.model_summary(model, self._repository.default) for model in self._repository]
        if self._on_demand is not None:
            absent = self._on_demand.absent()
            models += [descriptions.bundle_summary(each, self._on_demand.is_default(each)) for each in absent]
            models.sort(key=lambda each: (each.model.name, int(each.model.version)))
        return explanation_pb2.ListModelsResponse(models=models, server=self._server)

    async def GetModel(
        self, request: explanation_pb2.GetModelRequest, context: grpc.aio.ServicerContext
    ) -> explanation_pb2.GetModelResponse:
        validate(request)
        return descriptions.model_description(await self._explaining.find(request.model), self._server)

    async def _explain(
        self, request: explanation_pb2.ExplainRequest, caller: str, on_progress: OnProgress | None
    ) -> explanation_pb2.ExplainResponse:
        with self._statistics.counted() as course:

            def respond(model: ServedModel, explanation: Explanation) -> explanation_pb2.ExplainResponse:
                return responses.explain_response(model, request, explanation, course.stopwatch)

            image = self._explaining.sent(request.image)
            return await self._explaining.explain(request, image, caller, course, respond, on_progress)
