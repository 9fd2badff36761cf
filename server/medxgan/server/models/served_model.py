"""One served model: a bundle, its engine, and the scheduler that shares it among requests."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from medxgan.server.bundle import LoadedBundle
from medxgan.server.engine.port import Engine, FloatArray
from medxgan.server.explainers.attributions import Attributions, attribute
from medxgan.server.explainers.settings import AttributionSettings
from medxgan.server.explainers.table import check_methods, served_methods
from medxgan.server.explanation import Explained, Explanation, Extent, PositiveRealization, Timing, TrajectoryFrame
from medxgan.server.graphs import output_count
from medxgan.server.images.grey import GreyImage
from medxgan.server.inversion import Inversion, InversionSettings
from medxgan.server.inverting import ImageInversion
from medxgan.server.networks import Networks
from medxgan.server.positive_realization import PositiveSearch, positive_realization
from medxgan.server.scheduler import InversionScheduler, OnProgress
from medxgan.server.scores import probability
from medxgan.server.trajectory import trajectory
from medxgan.v1 import bundle_pb2, explanation_pb2
from medxgan.v1.explanation_pb2 import AttributionMethod

Result = TypeVar("Result")

INVERSION_ALONE = Extent()
"""What every explanation holds."""


class ServedModel:
    """Answers requests about images with one bundle. Used from one event loop, between `start` and `stop`.

    Cancelling a task that awaits an answer stops its compute: at once where it still waits, else at the next block of
    gradient steps or the next chunk of rows.

    Args:
        bundle: the bundle served.
        engine: runs its graphs; from here on only this model calls it.
        maximum_batch: most inversions that advance together, and most rows of one chunk, >= 1.
    """

    def __init__(self, bundle: LoadedBundle, engine: Engine, maximum_batch: int) -> None:
        self.bundle = bundle
        self.engine = engine
        inversion = Inversion(engine, bundle.description)
        self._scheduler = InversionScheduler(inversion, maximum_batch)
        self._images = ImageInversion(inversion, self._scheduler)
        self._search = PositiveSearch(engine, bundle.description)
        outputs = output_count(bundle.description.classification)
        self._networks = Networks(engine, self._scheduler, maximum_batch, outputs)

    @property
    def identity(self) -> explanation_pb2.ModelIdentity:
        """Which model this is."""
        description = self.bundle.description
        return explanation_pb2.ModelIdentity(
            name=description.name, version=description.version, bundle_sha256=self.bundle.sha256
        )

    @property
    def execution(self) -> explanation_pb2.Execution:
        """How it is really run."""
        execution = self.engine.execution
        return explanation_pb2.Execution(
            engine=execution.engine,
            provider=execution.provider,
            requested=execution.requested,
            fallback=bool(execution.fallback_reason),
            fallback_reason=execution.fallback_reason,
        )

    async def start(self) -> None:
        """Warm the engine up and begin to take requests."""
        await self._scheduler.start()
        await self._scheduler.call(self.engine.warm_up)

    async def stop(self) -> None:
        """Take no more requests and end after the block that runs. May be called again."""
        await self._scheduler.stop()

    async def classify(self, image: GreyImage) -> float:
        """The probability of the positive class, C(x)."""
        return await self._scheduler.call(lambda: self._score(self._preprocess(image)))

    async def preprocess(self, image: GreyImage) -> FloatArray:
        """The image as the networks see it: [1, 1, S, S] in [-1, 1]."""
        return await self._scheduler.call(partial(self._preprocess, image))

    async def logits(self, x: FloatArray, target: int | None = None) -> FloatArray:
        """The classifier's logits of images, in chunks.

        Args:
            x: [N, 1, S, S] in [-1, 1], N >= 1.
            target: an output of the classifier; left out, the logit of the positive class, whose logistic function is
                its probability. For a classifier with one output the two are the same.

        Returns:
            [N].
        """
        if target is None:
            return await self._networks.positive_logits(x)
        return await self._networks.logits(x, target)

    def methods(self) -> tuple[AttributionMethod, ...]:
        """The methods of attribution that the bundle can serve, in the order of the enum."""
        return served_methods(self.bundle.description)

    async def attribute(
        self, x: FloatArray, methods: Sequence[AttributionMethod], settings: AttributionSettings
    ) -> Attributions:
        """What in an image a logit of the classifier depends on, by each method.

        Args:
            x: [1, 1, S, S] in [-1, 1], from `preprocess`.
            methods: in the order wanted.
            settings: as resolved against the bundle.

        Raises:
            InvalidRequestError: naming the method that the bundle can't serve, or the target that it does not explain.
        """
        check_methods(methods, settings.target, self.bundle.description)
        return await attribute(x, methods, settings, self._networks, partial(self._explained, x, settings))

    async def explain(
        self,
        image: GreyImage,
        settings: InversionSettings,
        seed: int,
        on_progress: OnProgress | None = None,
        extent: Extent = INVERSION_ALONE,
    ) -> Explanation:
        """Explain one image.

        Args:
            image: the image.
            settings: as resolved against the bundle, which has a generator.
            seed: of whatever is random, 0 to 2^64 - 1.
            on_progress: called on the event loop after every block of gradient steps.
            extent: what is wanted beyond the inversion.
        """
        arrived = time.perf_counter()
        x, preprocess_seconds = await self._scheduler.call(partial(_timed, partial(self._preprocess, image)))
        explained = await self._images.invert(x, settings, seed, on_progress)
        positive = None
        if extent.positive_end:
            positive = await positive_realization(
                explained, settings, seed, self._search, self._scheduler, self._networks, on_progress
            )
        frames: tuple[TrajectoryFrame, ...] = ()
        if positive is not None and extent.frames:
            frames = await trajectory(explained, positive, extent.frames, self._networks)
        return Explanation(
            explained=explained,
            positive_realization=positive,
            trajectory=frames,
            timing=_timing(arrived, preprocess_seconds, explained, positive),
            settings=settings,
            seed=seed,
            notes=image.notes,
        )

    async def _explained(self, x: FloatArray, settings: AttributionSettings) -> Explained:
        if settings.inversion is None:
            raise ValueError("the settings were resolved against a bundle without generator")
        return await self._images.invert(x, settings.inversion, settings.seed)

    def _score(self, x: FloatArray) -> float:
        return probability(float(self.engine.run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": x})["logit"][0]))

    def _preprocess(self, image: GreyImage) -> FloatArray:
        inputs = {"image": image.levels[np.newaxis, np.newaxis], "inverted": np.full(1, image.inverted, np.float32)}
        return self.engine.run(bundle_pb2.GRAPH_ROLE_PREPROCESS, inputs)["x"]


def _timed(function: Callable[[], Result]) -> tuple[Result, float]:
    """What the function returns, and the seconds that it took."""
    began = time.perf_counter()
    return function(), time.perf_counter() - began


def _timing(
    arrived: float, preprocess_seconds: float, explained: Explained, positive: PositiveRealization | None
) -> Timing:
    """The parts up to now, from readings of `time.perf_counter()`."""
    now = time.perf_counter()
    preprocess = preprocess_seconds + explained.prepare_seconds
    search = 0.0 if positive is None else positive.seconds
    return Timing(
        queued_ms=1000 * (explained.steps_began - arrived - preprocess),
        preprocess_ms=1000 * preprocess,
        inversion_ms=1000 * (explained.steps_ended - explained.steps_began),
        positive_realization_ms=1000 * search,
        maps_ms=1000 * (now - explained.steps_ended - search),
        total_ms=1000 * (now - arrived),
    )
