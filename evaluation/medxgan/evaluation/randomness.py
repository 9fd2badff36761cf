"""Random numbers that depend on what they are for alone: never on the order of work, nor on an interruption."""

import hashlib

import numpy as np


def random_for(seed: int, *purpose: str) -> np.random.Generator:
    """A generator of its own for each seed and purpose: `random_for(1, "noise 0.02", "patient-7/film-2")`."""
    digest = hashlib.sha256("\0".join(purpose).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, np.uint32).tolist()])
