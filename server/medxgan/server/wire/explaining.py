"""The way from a request to its explanation, whichever service took it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog

from medxgan.server.errors import BusyError
from medxgan.server.explanation.explain import OnProgress, Progress
from medxgan.server.explanation.explanation import Explanation, OpenedImage
from medxgan.server.explanation.request import resolve_settings
from medxgan.server.images.sent import SentImage
from medxgan.server.images.workers.pool import DecoderPool
from medxgan.server.models.admission import request_cost
from medxgan.server.models.on_demand import OnDemand
from medxgan.server.models.replica import Replica
from medxgan.server.models.repository import ModelRepository
from medxgan.server.models.served_model import ServedModel
from medxgan.server.stopwatch import Phase, Stopwatch
from medxgan.server.telemetry.statistics import Course, Model
from medxgan.server.telemetry.telemetry import Telemetry
from medxgan.server.telemetry.tracing import current_trace
from medxgan.server.wire.callers import counted_as
from medxgan.server.wire.uploads import Uploads
from medxgan.server.wire.validation import validate
from medxgan.v1 import explanation_pb2

Answer = TypeVar("Answer")
Respond = Callable[[ServedModel, Explanation], Answer]
"""Makes the answer of an explanation; called in a thread of its own."""


class Explaining:
    """Validates requests, admits them to their model, opens their images and has them explained.

    Args:
        repository: the models served.
        uploads: told when a request's image has been read, so that a further one may be received.
        decoder: reads images.
        telemetry: told of what was answered.
        on_demand: brings in models that are not loaded; None: all are.
    """

    def __init__(
        self,
        repository: ModelRepository,
        uploads: Uploads,
        decoder: DecoderPool,
        telemetry: Telemetry,
        on_demand: OnDemand | None = None,
    ) -> None:
        self._repository = repository
        self._uploads = uploads
        self._decoder = decoder
        self._telemetry = telemetry
        self._on_demand = on_demand

    def check_room(self, caller: str) -> None:
        """Refuse a request of which nothing has been received, where it finds no room whatever it says.

        With several models its message says whose room it takes.

        Args:
            caller: who asks.

        Raises:
            BusyError: the only model that there is has no room for it.
        """
        model = self._repository.only
        if model is None or self._on_demand is not None:
            return
        try:
            model.admission.check(counted_as(caller))
        except BusyError:
            _named_in_log(model)
            with self._telemetry.statistics.counted(_counted_for(model)):
                raise

    async def explain(
        self,
        request: explanation_pb2.ExplainRequest,
        image: SentImage,
        caller: str,
        course: Course,
        respond: Respond[Answer],
        on_progress: OnProgress | None = None,
        model: ServedModel | None = None,
    ) -> Answer:
        """Explain one image.

        Args:
            request: what is asked for; the bytes of its image are not looked at.
            image: the image, whose bytes are taken.
            caller: who asks.
            course: of the request.
            respond: makes the answer.
            on_progress: called after every block of gradient steps.
            model: that explains it; None: the one that the request names.

        Raises:
            MedxganError: any that errors.py has.
        """
        stopwatch, share = course.stopwatch, counted_as(caller)
        current_trace().follow(stopwatch)
        try:
            validate(request)
            model = await self.find(request.model, course) if model is None else _named_in_log(model)
            model.admission.check(share)  # before what takes longer
            settings = resolve_settings(request, model.bundle.description)
            cost = request_cost(settings, model.bundle.description)
            with model.held(), model.admission.enter(share, cost), model.place(cost) as replica:
                stopwatch.switch(Phase.PREPROCESS)
                digest = await self._telemetry.digest(image)
                urgent = request.priority == explanation_pb2.PRIORITY_STAT
                inverts = settings.inversion is not None
                opened = await self._open(model, replica, image, share, stopwatch, inverts=inverts, urgent=urgent)
                explanation = await replica.explainer.explain(
                    opened, settings, share, stopwatch, on_progress, urgent=urgent
                )
                began = time.perf_counter()
                answer = await asyncio.to_thread(respond, model, explanation)
                course.made(time.perf_counter() - began)
                await self._telemetry.explained(caller, digest, model, explanation, stopwatch)
                return answer
        finally:
            image.take()  # an error keeps this frame, and all that it names, until a collection

    async def classify(
        self, request: explanation_pb2.ClassifyRequest, image: SentImage, caller: str, course: Course
    ) -> tuple[ServedModel, OpenedImage]:
        """Open one image with the model that a request names; as `explain`."""
        current_trace().follow(course.stopwatch)
        share = counted_as(caller)
        try:
            validate(request)
            model = await self.find(request.model, course)
            with model.held(), model.admission.enter(share), model.place() as replica:
                course.stopwatch.switch(Phase.PREPROCESS)
                digest = await self._telemetry.digest(image)
                opened = await self._open(model, replica, image, share, course.stopwatch, inverts=False)
                await self._telemetry.classified(caller, digest, model)
                return model, opened
        finally:
            image.take()  # as above

    async def find(self, selector: explanation_pb2.ModelSelector, course: Course | None = None) -> ServedModel:
        """As `select`, of a model that may have to be loaded first. It has to be held at once, or may be gone again."""
        if self._on_demand is not None:
            await self._on_demand.bring_in(selector)
        return self.select(selector, course)

    def select(self, selector: explanation_pb2.ModelSelector, course: Course | None = None) -> ServedModel:
        """Find a model, name it in the request's log line, and count the request for it, where it has a course."""
        model = self._repository.select(selector)
        if course is not None:
            course.model = _counted_for(model)
        return _named_in_log(model)

    def sent(self, image: explanation_pb2.Image) -> SentImage:
        """The image of the current request, whose bytes are with its upload or in its message."""
        apart = self._uploads.image_bytes()
        return SentImage(image, apart) if apart else SentImage.of(image)

    async def _open(
        self,
        model: ServedModel,
        replica: Replica,
        sent: SentImage,
        share: str,
        stopwatch: Stopwatch,
        *,
        inverts: bool,
        urgent: bool = False,
    ) -> OpenedImage:
        """Read an image, drop it, and make of it what the networks see: what waits from here on is small."""
        # A film is large: as many are there at a time as there are decoders, the others wait as they were sent.
        stopwatch.switch(Phase.QUEUED)
        began = time.perf_counter()

        def on_turn() -> None:
            nonlocal began
            stopwatch.switch(Phase.PREPROCESS)
            began = time.perf_counter()

        try:
            async with self._decoder.film(sent, model.reduction, share, urgent=urgent, on_turn=on_turn) as film:
                self._telemetry.metrics.decoded(sent.form, time.perf_counter() - began)
                current_trace().decoded(sent.form, began)
                self._uploads.release()
                return await replica.explainer.open(film, stopwatch, inverts=inverts, urgent=urgent)
        finally:
            sent.take()  # as above


async def telling(
    start: Callable[[OnProgress], Coroutine[Any, Any, Answer]], tell: Callable[[Progress], Awaitable[None]]
) -> Answer:
    """Start an explanation and tell its progress until it is there. Who is cancelled here ends its compute.

    Args:
        start: starts it, given what to call after every block of gradient steps.
        tell: tells the caller, at the caller's pace.
    """
    blocks: asyncio.Queue[Progress | None] = asyncio.Queue()
    explaining = asyncio.create_task(start(blocks.put_nowait))
    explaining.add_done_callback(lambda _: blocks.put_nowait(None))
    try:
        while (progress := await blocks.get()) is not None:
            await tell(progress)
        return await explaining
    finally:
        explaining.cancel()


def _counted_for(model: ServedModel) -> Model:
    return model.bundle.description.name, model.bundle.description.version


def _named_in_log(model: ServedModel) -> ServedModel:
    """Name a model in the log line of the current request."""
    structlog.contextvars.bind_contextvars(model=model.bundle.name)
    return model
