"""One served model: a bundle, its engine, and the scheduler that shares it among requests."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from medxgan.server.attribution import Attributions, attribution_maps
from medxgan.server.bundle import LoadedBundle
from medxgan.server.engine.port import Engine, FloatArray, InversionState
from medxgan.server.explanation import Explanation, Scores, Timing
from medxgan.server.images.grey import GreyImage
from medxgan.server.inversion import Inversion, InversionRow, InversionSettings, Realizations
from medxgan.server.scheduler import InversionScheduler, InvertedRow, OnProgress
from medxgan.server.scores import probability
from medxgan.server.verdict import judge
from medxgan.v1 import bundle_pb2, explanation_pb2
from medxgan.v1.explanation_pb2 import AttributionMethod


class ServedModel:
    """Answers requests about images with one bundle. Used from one event loop, between `start` and `stop`.

    Cancelling a task that awaits an answer stops its compute: at once where it still waits, else at the next block.

    Args:
        bundle: the bundle served.
        engine: runs its graphs; from here on only this model calls it.
        maximum_batch: most inversions that advance together, >= 1.
    """

    def __init__(self, bundle: LoadedBundle, engine: Engine, maximum_batch: int) -> None:
        self.bundle = bundle
        self.engine = engine
        self._inversion = Inversion(engine, bundle.description)
        self._scheduler = InversionScheduler(self._inversion, maximum_batch)

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
        _, score = await self._scheduler.call(partial(self._score, image))
        return score

    async def attribute(self, image: GreyImage, methods: Sequence[AttributionMethod]) -> Attributions:
        """What in the image the classifier's logit depends on, by each method."""
        return await self._scheduler.call(partial(self._attribute, image, methods))

    async def explain(
        self, image: GreyImage, settings: InversionSettings, seed: int, on_progress: OnProgress | None = None
    ) -> Explanation:
        """Explain one image.

        Args:
            image: the image.
            settings: as resolved against the bundle.
            seed: of the random start, 0 to 2^64 - 1.
            on_progress: called on the event loop after every block of gradient steps.
        """
        arrived = time.perf_counter()
        prepared = await self._scheduler.call(partial(self._prepare, image, settings, seed))
        inverted = await self._scheduler.invert(prepared.row, prepared.state, on_progress)
        realizations = await self._scheduler.call(partial(self._inversion.finish, inverted.row, inverted.state))
        scores = self._scores(prepared.score, realizations)
        maximum_mse = self.bundle.description.reliability.maximum_reconstruction_mse
        return Explanation(
            original=prepared.state.image[0, 0],
            reconstruction=realizations.reconstruction,
            negative_realization=realizations.negative_realization,
            scores=scores,
            verdict=judge(scores, realizations.outcome.reconstruction_mse, maximum_mse),
            outcome=realizations.outcome,
            timing=_timing(arrived, prepared.seconds, inverted),
            settings=settings,
            seed=seed,
            notes=image.notes,
        )

    def _prepare(self, image: GreyImage, settings: InversionSettings, seed: int) -> "_Prepared":
        began = time.perf_counter()
        x, score = self._score(image)
        row, state = self._inversion.init(x, score, settings, seed)
        return _Prepared(row, state, score, time.perf_counter() - began)

    def _score(self, image: GreyImage) -> tuple[FloatArray, float]:
        x = self._preprocess(image)
        logit = self.engine.run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": x})["logit"]
        return x, probability(float(logit[0]))

    def _attribute(self, image: GreyImage, methods: Sequence[AttributionMethod]) -> Attributions:
        x = self._preprocess(image)
        outputs = self.engine.run(bundle_pb2.GRAPH_ROLE_ATTRIBUTION, {"x": x})
        return Attributions(x[0, 0], float(outputs["logit"][0]), attribution_maps(outputs, methods), image.notes)

    def _preprocess(self, image: GreyImage) -> FloatArray:
        inputs = {"image": image.levels[np.newaxis, np.newaxis], "inverted": np.full(1, image.inverted, np.float32)}
        return self.engine.run(bundle_pb2.GRAPH_ROLE_PREPROCESS, inputs)["x"]

    def _scores(self, original: float, realizations: Realizations) -> Scores:
        return Scores(
            original=original,
            reconstruction=realizations.reconstruction_score,
            negative_realization=realizations.negative_realization_score,
            decision_threshold=self.bundle.description.classification.decision_threshold,
        )


@dataclass(frozen=True)
class _Prepared:
    """An image ready to be inverted, its score, and the seconds of compute that this took."""

    row: InversionRow
    state: InversionState
    score: float
    seconds: float


def _timing(arrived: float, preprocess: float, inverted: InvertedRow) -> Timing:
    """The parts up to now, from readings of `time.perf_counter()`."""
    now = time.perf_counter()
    return Timing(
        queued_ms=1000 * (inverted.began - arrived - preprocess),
        preprocess_ms=1000 * preprocess,
        inversion_ms=1000 * (inverted.ended - inverted.began),
        maps_ms=1000 * (now - inverted.ended),
        total_ms=1000 * (now - arrived),
    )
