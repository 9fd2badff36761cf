"""Maps that know nothing of the classifier: a method that does not beat them explains nothing."""

from collections.abc import Callable, Mapping

import numpy as np

from medxgan.evaluation.saliency import FloatArray

CENTRE_DEVIATION = 0.25
"""Deviation of the centre prior, as a share of the image's side."""

Baseline = Callable[[FloatArray, np.random.Generator], FloatArray]


def random_map(x: FloatArray, random: np.random.Generator) -> FloatArray:
    """Uniform noise, drawn for each image."""
    return random.random(x.shape, np.float32)


def intensity_map(x: FloatArray, random: np.random.Generator) -> FloatArray:  # noqa: ARG001 - a baseline's signature
    """The image's own brightness above its darkest level: x + 1, in [0, 2]."""
    return x + 1


def centre_map(x: FloatArray, random: np.random.Generator) -> FloatArray:  # noqa: ARG001
    """A Gaussian at the centre, where the findings of centred films tend to lie."""
    side = len(x)
    offset = (np.arange(side) + 0.5) / side - 0.5
    profile = np.exp(-0.5 * np.square(offset / CENTRE_DEVIATION))
    return np.outer(profile, profile).astype(np.float32)


BASELINES: Mapping[str, Baseline] = {"random": random_map, "intensity": intensity_map, "centre": centre_map}
"""Every baseline by name; x: [S, S] in [-1, 1] to a map [S, S] that is not negative."""
