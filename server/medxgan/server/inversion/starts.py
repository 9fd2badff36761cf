"""The starts of one image's inversion, and the best of where they lead.

The loss of an inversion has many minima. The best of several starts is nearer to the lowest; how far their difference
maps are apart says how much of a map is owed to the start. A single inversion is restart 0, whatever else runs beside.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from medxgan.server.engine.port import FloatArray
from medxgan.server.inversion.randomness import first_start_generator, stream_generator
from medxgan.server.inversion.solver import Row
from medxgan.v1 import bundle_pb2

RESTART_DEVIATION = 0.5
"""Standard deviation of the noise that a restart adds to what moves fastest in the first start: half of that of the
latent code's prior, N(0, I). Enough to leave the first start's valley, and little enough that the encoder's guess still
tells: with a chest bundle and three films, the best of 6 ended lower than with 0.1 for each, and 1.0 brought no more on
average."""


def starting_codes(
    encoded: FloatArray | None,
    latent: bundle_pb2.LatentSpecification,
    rates: FloatArray,
    restarts: int,
    seed: int,
) -> list[FloatArray]:
    """Where the inversions of one image start: [1, D] each.

    Args:
        encoded: [1, D], the encoder's guess; without one, z1 = 0 and z2 drawn from N(0, I) by the seed.
        latent: the sizes of z1 and z2.
        rates: [1, D], the learning rates. A latent is disturbed as far as it may move: noise that is never corrected
            would make a restart worse than the guess.
        restarts: how many, >= 1.
        seed: 0 to 2^64 - 1; restart i draws from stream i, so that it is the same whatever the others.
    """
    first = encoded
    if first is None:
        first = np.zeros((1, latent.z1_size + latent.z2_size), np.float32)
        first[0, latent.z1_size :] = first_start_generator(seed).standard_normal(latent.z2_size, np.float32)
    deviation = RESTART_DEVIATION * rates / rates.max()
    noisy = (
        first + deviation * stream_generator(seed, index).standard_normal(first.shape, np.float32)
        for index in range(1, restarts)
    )
    return [first, *noisy]


def learning_rates(bundle: bundle_pb2.Bundle, learning_rate: float, *, guessed: bool) -> FloatArray:
    """[1, D] how far the first step moves each latent.

    Args:
        bundle: states the sizes of z1 and z2, and what share of the rate z2 has.
        learning_rate: of the request.
        guessed: whether an encoder guessed where to start: only then does z2 stay near it.
    """
    rates = np.full((1, bundle.latent.z1_size + bundle.latent.z2_size), learning_rate)
    if guessed and bundle.inversion.HasField("pathology_rate"):
        rates[:, bundle.latent.z1_size :] *= bundle.inversion.pathology_rate
    return rates.astype(np.float32)


def leading(rows: Sequence[Row], terminated: Callable[[Row], bool]) -> tuple[int, Row]:
    """What to say of the progress of several restarts: steps of the slowest that goes on, and the best row so far.

    The slowest says when the request ends. A row that waits for its turn has taken no steps.
    """
    going_on = [row.steps_taken for row in rows if not terminated(row)]
    steps_taken = min(going_on) if going_on else max(row.steps_taken for row in rows)
    return steps_taken, min((row for row in rows if row.steps_taken > 0), key=lambda row: comparable(row.loss))


def comparable(loss: float) -> float:
    """A loss by which results are compared: NaN is worse than any number."""
    return math.inf if math.isnan(loss) else loss
