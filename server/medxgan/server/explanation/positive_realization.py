"""The positive realization of an image that the classifier calls negative: the least that would make it positive.

    z1 stays what the inversion found; from a small z2, gradient descent on
    λ · MSE(G(z1, z2), G(z1, 0)) + BCE(C(G(z1, z2)), 1)

until the classifier says "positive" with a margin; then the shortest a · z2 that it still calls positive. It is the
inversion's own step graph, given the negative realization as image and "positive" as target. That graph moves z1 too:
after every step z1 and its moments are put back, for which the state comes to the host. Adam treats each coordinate by
itself, so that what z1's would have done leaves no trace in z2. Not finding one is a value of the result.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from medxgan.server.engine.port import Engine, FloatArray, InversionState
from medxgan.server.explanation import Explained, PositiveRealization
from medxgan.server.inversion import InversionSettings, Progress
from medxgan.server.networks import Networks
from medxgan.server.randomness import POSITIVE_REALIZATION_STREAM, stream_generator
from medxgan.server.scheduler import InversionScheduler, OnProgress
from medxgan.server.scores import probability
from medxgan.v1 import bundle_pb2, explanation_pb2

TARGET = 1.0
"""The probability that the steps aim at: a lower one would lose its pull before the margin, since λ pulls back."""

CANDIDATES, START_DEVIATION = 16, 0.25
"""The search starts at the candidate with the highest score of 16, drawn with a standard deviation of z2 that is a
quarter of that of the prior N(0, I). Not at z2 = 0, where a gated generator is flat; and not at any one candidate: if
its direction lowers the score, the steps lead back to z2 = 0 and stay there."""

PARTS, ROUNDS = 16, 3
"""The shortest z2 is sought among 16 places along it, then among 16 before the first of them that is positive, and so
on: to 1 / 4096, and the first crossing of the threshold unless there is one within a sixteenth of the way."""


def margin(threshold: float) -> float:
    """The score at which the search stops: halfway from the decision threshold to 1."""
    return (threshold + 1) / 2


@dataclass(frozen=True)
class Search:
    """How far the search for one image is.

    Attributes:
        settings: of the image's inversion; steps, learning rate and λ hold for the search too.
        state: of the gradient steps, a batch of one.
        z: [1, D], the code with the highest score so far.
        picture: [1, 1, S, S], drawn from it.
        score: C of the picture.
        progress: after the last step.
    """

    settings: InversionSettings
    state: InversionState
    z: FloatArray
    picture: FloatArray
    score: float
    progress: Progress


@dataclass(frozen=True)
class PositiveSearch:
    """The solver of one bundle. It never changes: the search is passed. Calls come from the engine's thread."""

    engine: Engine
    bundle: bundle_pb2.Bundle

    def init(self, explained: Explained, settings: InversionSettings, seed: int) -> Search:
        """Start beside the negative realization of a finished inversion.

        Args:
            explained: the inversion.
            settings: its settings.
            seed: of the start, 0 to 2^64 - 1.
        """
        z1_size, z2_size = self.bundle.latent.z1_size, self.bundle.latent.z2_size
        noise = stream_generator(seed, POSITIVE_REALIZATION_STREAM).standard_normal((CANDIDATES, z2_size), np.float32)
        candidates = np.repeat(explained.negative_z, CANDIDATES, axis=0)
        candidates[:, z1_size:] = START_DEVIATION * noise
        pictures, scores = self._draw(candidates)
        first = int(np.argmax(np.nan_to_num(scores)))
        z = candidates[[first]]
        state = InversionState(
            z=z,
            first_moment=np.zeros_like(z),
            second_moment=np.zeros_like(z),
            step=np.zeros(1, np.float32),
            image=explained.negative_realization[np.newaxis, np.newaxis],
            target=np.full(1, TARGET, np.float32),
            learning_rate=np.full(1, settings.learning_rate, np.float32),
            reconstruction_weight=np.full(1, settings.reconstruction_weight, np.float32),
        )
        nan = float("nan")
        progress = Progress(0, settings.steps, nan, nan, explanation_pb2.PROGRESS_PHASE_POSITIVE_REALIZATION)
        return Search(settings, state, z, pictures[[first]], scores[first], progress)

    def step(self, search: Search) -> Search:
        """Take a block of gradient steps, or fewer where the search ends before."""
        end = search.progress.steps_taken + self.bundle.inversion.check_interval
        while search.progress.steps_taken < end and not self.terminate(search):
            search = self._step(search)
        return search

    def terminate(self, search: Search) -> bool:
        """Whether the classifier says "positive" with the margin, or the steps are used up."""
        reached = search.score >= margin(self.bundle.classification.decision_threshold)
        return reached or search.progress.steps_taken >= search.settings.steps

    def _step(self, search: Search) -> Search:
        run = self.engine.start(search.state)
        losses = run.advance(1)
        state = self._with_z1_put_back(run.state(), search.state)
        picture, (score,) = self._draw(state.z)
        progress = replace(
            search.progress,
            steps_taken=search.progress.steps_taken + 1,
            reconstruction_mse=float(losses.reconstruction[0]),
            classification_loss=float(losses.classification[0]),
        )
        search = replace(search, state=state, progress=progress)
        # A score that is NaN is no better than any.
        return replace(search, z=state.z, picture=picture, score=score) if score > search.score else search

    def _with_z1_put_back(self, after: InversionState, before: InversionState) -> InversionState:
        z1 = self.bundle.latent.z1_size
        return replace(
            after,
            z=np.concatenate([before.z[:, :z1], after.z[:, z1:]], axis=1),
            first_moment=np.concatenate([before.first_moment[:, :z1], after.first_moment[:, z1:]], axis=1),
            second_moment=np.concatenate([before.second_moment[:, :z1], after.second_moment[:, z1:]], axis=1),
        )

    def _draw(self, z: FloatArray) -> tuple[FloatArray, list[float]]:
        pictures = self.engine.run(bundle_pb2.GRAPH_ROLE_GENERATOR, {"z": z})["image"]
        logits = self.engine.run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": pictures})["logit"]
        return pictures, [probability(float(logit)) for logit in logits]


async def positive_realization(
    explained: Explained,
    settings: InversionSettings,
    seed: int,
    search: PositiveSearch,
    scheduler: InversionScheduler,
    networks: Networks,
    on_progress: OnProgress | None = None,
) -> PositiveRealization:
    """The positive end of a finished inversion.

    For a positive image, its reconstruction; where the negative realization is positive already, that one: nothing
    needs to change. Else what the search finds. Cancelling the awaiting task ends it before the next block or chunk.

    Args:
        explained: the inversion.
        settings: its settings.
        seed: of the search's start, 0 to 2^64 - 1.
        search: the solver.
        scheduler: shares its engine: between two blocks of the search others take theirs.
        networks: the bundle's.
        on_progress: called on the event loop after every block.
    """
    began = time.perf_counter()
    scores, threshold = explained.scores, explained.scores.decision_threshold

    def ending(z: FloatArray, picture: FloatArray, score: float, steps_taken: int, scale: float) -> PositiveRealization:
        return PositiveRealization(
            z=z,
            picture=picture,
            score=score,
            found=score >= threshold,
            steps_taken=steps_taken,
            scale=scale,
            change_mse=float(np.mean(np.square(picture - explained.negative_realization))),
            seconds=time.perf_counter() - began,
        )

    if scores.positive:
        return ending(explained.z, explained.reconstruction, scores.reconstruction, 0, 1)
    if scores.negative_realization >= threshold:
        return ending(explained.negative_z, explained.negative_realization, scores.negative_realization, 0, 0)
    found = await scheduler.call(partial(search.init, explained, settings, seed))
    while not search.terminate(found):
        found = await scheduler.call(partial(search.step, found))
        if on_progress is not None:
            on_progress(found.progress)
    steps_taken = found.progress.steps_taken
    if not found.score >= threshold:
        return ending(found.z, found.picture[0, 0], found.score, steps_taken, 1)
    least = await _least_positive(explained.negative_z, found, threshold, networks)
    return ending(least.z, least.picture[0, 0], least.score, steps_taken, least.position)


@dataclass(frozen=True)
class _Place:
    """A place along the ray from z2 = 0, with its picture [1, 1, S, S] and that picture's score."""

    position: float
    z: FloatArray
    picture: FloatArray
    score: float


async def _least_positive(negative_z: FloatArray, found: Search, threshold: float, networks: Networks) -> _Place:
    """The place nearest to z2 = 0 on the way to a positive z2 that is positive too."""
    way = found.z - negative_z
    low, least = 0.0, _Place(1.0, found.z, found.picture, found.score)
    for _ in range(ROUNDS):
        positions = low + (least.position - low) * np.arange(1, PARTS + 1, dtype=np.float32) / PARTS
        z = negative_z + positions[:, np.newaxis] * way
        pictures = await networks.generate(z)
        scores = [probability(float(logit)) for logit in await networks.positive_logits(pictures)]
        first = _first(scores, threshold)
        if first is None:  # the far end is on the threshold, and another batch size rounded it down
            break
        low = float(positions[first - 1]) if first else low
        least = _Place(float(positions[first]), z[[first]], pictures[[first]], scores[first])
    return least


def _first(scores: Sequence[float], threshold: float) -> int | None:
    return next((index for index, score in enumerate(scores) if score >= threshold), None)
