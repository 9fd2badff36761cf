"""From a request of the protocol to an explanation, and back."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial

from medxgan.server.errors import TimedOutError
from medxgan.server.explanation.explain import OnProgress, Progress
from medxgan.server.explanation.explanation import Explanation
from medxgan.server.images.sent import SentImage
from medxgan.server.models.served_model import ServedModel
from medxgan.server.open_inference import parameters
from medxgan.server.open_inference.inputs import image_of, image_place
from medxgan.server.open_inference.messages import inference
from medxgan.server.open_inference.models import InferenceModel
from medxgan.server.open_inference.outputs import infer_response, requested_outputs
from medxgan.server.open_inference.shared_memory import SharedMemory
from medxgan.server.telemetry.statistics import Course, Statistics
from medxgan.server.wire.callers import counted_as
from medxgan.server.wire.explaining import Explaining, telling
from medxgan.server.wire.responses import explain_response
from medxgan.server.wire.uploads import Uploads
from medxgan.v1 import explanation_pb2


class Inferences:
    """Answers inferences by the way that every explanation takes. Used from one event loop.

    Args:
        explaining: makes the explanations.
        uploads: holds the images of the requests.
        regions: of shared memory.
        statistics: counts what is done.
        maximum_bytes: of an image in shared memory.
    """

    def __init__(
        self,
        explaining: Explaining,
        uploads: Uploads,
        regions: SharedMemory,
        statistics: Statistics,
        maximum_bytes: int,
    ) -> None:
        self._explaining = explaining
        self._uploads = uploads
        self._regions = regions
        self._statistics = statistics
        self._maximum_bytes = maximum_bytes

    async def infer(
        self,
        request: inference.ModelInferRequest,
        model: InferenceModel,
        caller: str,
        tell: Callable[[Progress], Awaitable[None]] | None = None,
    ) -> inference.ModelInferResponse:
        """Answer one request.

        Args:
            request: whose image is apart, with its upload.
            model: that it names.
            caller: who asks.
            tell: tells the caller after every block of gradient steps.

        Raises:
            MedxganError: any that errors.py has; fields are named as the caller knows them.
        """
        counted = self._statistics.counted((model.name, model.version))
        with ExitStack() as holding, counted as course, parameters.named_as_sent():
            holding.enter_context(model.served.held())
            model.served.admission.check(counted_as(caller))  # before anything is read or copied
            seconds = parameters.timeout_seconds(request.parameters)
            start = partial(self._explain, request, model, caller, course, holding)
            try:
                async with asyncio.timeout(seconds) as limit:
                    if tell is None or not model.decoupled:
                        return await start(None)
                    return await telling(start, tell)
            except TimeoutError as error:
                if not limit.expired():
                    raise
                raise TimedOutError(
                    f"parameters.timeout: the answer was not there within {seconds:g} seconds"
                ) from error

    async def _explain(
        self,
        request: inference.ModelInferRequest,
        model: InferenceModel,
        caller: str,
        course: Course,
        holding: ExitStack,
        on_progress: OnProgress | None,
    ) -> inference.ModelInferResponse:
        # Who is slow to read the progress holds the model no longer than it takes to explain.
        with holding:
            return await self._answer(request, model, caller, course, on_progress)

    async def _answer(
        self,
        request: inference.ModelInferRequest,
        model: InferenceModel,
        caller: str,
        course: Course,
        on_progress: OnProgress | None,
    ) -> inference.ModelInferResponse:
        wanted = requested_outputs(request, model, self._regions)
        place = image_place(request, self._regions, self._maximum_bytes)
        if place is not None:
            await self._uploads.hold(place.byte_size)
        image, content = await asyncio.to_thread(image_of, request, self._uploads.image_bytes(), place)
        asked = explanation_pb2.ExplainRequest(
            model=explanation_pb2.ModelSelector(name=model.bundle_name, version=model.version),
            image=image,
            # All of the model's maps, whichever outputs are wanted: the verdict is on all of them.
            maps=[explanation_pb2.MapRequest(kind=kind) for kind in model.maps],
        )
        if model.default_restarts > 1:
            asked.settings.inversion.restarts = model.default_restarts
        parameters.set_settings(request.parameters, asked)
        sent = SentImage(asked.image, content)
        del content  # from here on it is there once, until it is decoded

        def respond(served: ServedModel, explanation: Explanation) -> inference.ModelInferResponse:
            explained = explain_response(served, asked, explanation, course.stopwatch)
            return infer_response(request, model, wanted, explained)

        return await self._explaining.explain(asked, sent, caller, course, respond, on_progress, model.served)
