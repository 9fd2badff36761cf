"""The positive realization of an image that the classifier calls negative: the least that would make it positive.

z1 stays what the inversion found; from a small z2, gradient descent on

    λ · MSE(G(z1, z2), G(z1, 0)) + BCE(C(G(z1, z2)), 1)

until the classifier says "positive" with a margin; then the shortest a · z2 that it still calls positive. It is a row
of the batch like an inversion, with the negative realization as image, 1 as target and a learning rate of 0 for z1. Not
finding one is a value of the result.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medxgan.server.engine.port import FloatArray
from medxgan.server.explanation.explanation import Inverted, OpenedImage, PositiveRealization
from medxgan.server.explanation.networks import Networks
from medxgan.server.explanation.scores import Score
from medxgan.server.inversion.lane import Ended
from medxgan.server.inversion.randomness import POSITIVE_SEARCH_STREAM, stream_generator
from medxgan.server.inversion.settings import InversionSettings
from medxgan.server.inversion.solver import Row, Solver, Start
from medxgan.v1 import bundle_pb2

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
    """The score at which the steps stop: halfway from the decision threshold to 1."""
    return (threshold + 1) / 2


async def positive_realization(
    opened: OpenedImage,
    inverted: Inverted,
    settings: InversionSettings,
    seed: int,
    bundle: bundle_pb2.Bundle,
    advance: Callable[[Sequence[Start]], Awaitable[list[Ended]]],
    solver: Solver,
    networks: Networks,
) -> PositiveRealization:
    """The positive end of a finished inversion.

    For a positive image, its reconstruction; where the negative realization is positive already, that one: nothing
    needs to change. Else what the search finds. Cancelling the awaiting task ends it before the next block or chunk.

    Args:
        opened: the image.
        inverted: its inversion.
        settings: of the inversion; steps, learning rate and λ hold for the search too.
        seed: of the search's start, 0 to 2^64 - 1.
        bundle: states the sizes of z1 and z2, and the decision threshold.
        advance: advances rows with those of others until they terminate.
        solver: sets them up.
        networks: the bundle's.
    """

    def ended(place: _Place, steps_taken: int) -> PositiveRealization:
        change = float(np.mean(np.square(place.picture - inverted.negative_realization)))
        return PositiveRealization(place.z, place.picture, place.score, steps_taken, place.position, change)

    if opened.score.positive:
        return ended(_Place(1, inverted.z, inverted.reconstruction, inverted.reconstruction_score), 0)
    if inverted.negative_realization_score.positive:
        negative = inverted.negative_realization, inverted.negative_realization_score
        return ended(_Place(0, inverted.negative_z, *negative), 0)
    threshold, z1 = bundle.classification.decision_threshold, bundle.latent.z1_size
    rates = np.full_like(inverted.z, settings.learning_rate)
    rates[:, :z1] = 0
    start = solver.init(
        Row(settings.steps, settings.reconstruction_weight, sought=margin(threshold)),
        await _best_candidate(inverted.negative_z, z1, seed, networks),
        inverted.negative_realization[np.newaxis, np.newaxis],
        TARGET,
        rates,
    )
    (found,) = await advance([start])
    end = await _place(1, found.state.z, threshold, networks)
    while not (end.score.positive or solver.terminate(replace(found.row, converged=False))):
        # The check saw the picture before the last step, which may lead back over the threshold: the search goes on.
        (found,) = await advance([(replace(found.row, converged=False), found.state)])
        end = await _place(1, found.state.z, threshold, networks)
    if end.score.positive:
        end = await _least_positive(inverted.negative_z, end, threshold, networks)
    return ended(end, found.row.steps_taken)


@dataclass(frozen=True)
class _Place:
    """A place along the ray from z2 = 0, with its picture [S, S] and that picture's score."""

    position: float
    z: FloatArray
    picture: FloatArray
    score: Score


async def _place(position: float, z: FloatArray, threshold: float, networks: Networks) -> _Place:
    pictures, logits = await networks.draw(z)
    return _Place(position, z, pictures[0, 0], Score.of(float(logits[0]), threshold))


async def _best_candidate(negative_z: FloatArray, z1: int, seed: int, networks: Networks) -> FloatArray:
    """The code [1, D] with the highest score of those that the seed gives."""
    candidates = np.repeat(negative_z, CANDIDATES, axis=0)
    shape = candidates[:, z1:].shape
    noise = stream_generator(seed, POSITIVE_SEARCH_STREAM).standard_normal(shape, np.float32)
    candidates[:, z1:] = START_DEVIATION * noise
    _, logits = await networks.draw(candidates)
    best: FloatArray = candidates[[int(np.argmax(np.nan_to_num(logits, nan=-np.inf)))]]
    return best


async def _least_positive(negative_z: FloatArray, end: _Place, threshold: float, networks: Networks) -> _Place:
    """The place nearest to z2 = 0 on the way to a positive z2 that is positive too."""
    way = end.z - negative_z
    low, least = 0.0, end
    for _ in range(ROUNDS):
        positions = low + (least.position - low) * np.arange(1, PARTS + 1, dtype=np.float32) / PARTS
        z = negative_z + positions[:, np.newaxis] * way
        pictures, logits = await networks.draw(z)
        scores = [Score.of(float(logit), threshold) for logit in logits]
        first = _first_positive(scores)
        if first is None:  # the far end is on the threshold, and another batch size rounded it down
            break
        low = float(positions[first - 1]) if first else low
        least = _Place(float(positions[first]), z[[first]], pictures[first, 0], scores[first])
    return least


def _first_positive(scores: Sequence[Score]) -> int | None:
    return next((index for index, score in enumerate(scores) if score.positive), None)
