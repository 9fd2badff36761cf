"""Random numbers by seed: the same on every platform, and independent from one use to the next."""

import numpy as np

POSITIVE_SEARCH_STREAM = 0
"""Stream of the search for a positive realization. The restart i >= 1 draws from the stream i; the first start draws
from none of them."""


def first_start_generator(seed: int) -> np.random.Generator:
    """What the first start is drawn from where the bundle has no encoder."""
    return np.random.Generator(np.random.Philox(seed))


def stream_generator(seed: int, stream: int) -> np.random.Generator:
    """What is drawn from beside it: one stream for each use.

    Philox is a cipher of its counter under a key, here the seed and the stream: two keys, two independent sequences
    (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011).

    Args:
        seed: 0 to 2^64 - 1.
        stream: 0 to 2^64 - 1.
    """
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], np.uint64)))
