"""From a map to an order of pixels: the same way for every method and every baseline.

Methods differ in sign and grain: a gradient flickers from pixel to pixel where Grad-CAM is smooth. So that the ranking
compares where they point and not how they are drawn, each map is taken by its magnitude and averaged over a small
window before its pixels are put in order.

Baselines are maps that know nothing of the classifier: a method that does not beat them explains nothing.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.regression import pearson_corrcoef

from medxgan.evaluation.errors import NotFiniteError
from medxgan.server.engine.port import FloatArray
from medxgan.server.explanation.maps.residual import smoothing_window

CONSTANT = 1e-6
"""A map whose deviation is below this share of its largest value has no contrast."""

CENTRE_DEVIATION = 0.25
"""Deviation of the centre prior, as a share of the image's side."""

Salience = NDArray[np.float64]
Baseline = Callable[[FloatArray, np.random.Generator], FloatArray]


def check_finite(values: NDArray[np.floating]) -> None:
    """See that a map can be measured: metrics of NaN look like any others.

    Raises:
        NotFiniteError: it can't.
    """
    wrong = values.size - int(np.isfinite(values).sum())
    if wrong:
        raise NotFiniteError(
            f"expected a map of finite numbers, got {wrong} of {values.size} pixels that are none: a graph of the "
            "bundle gave them"
        )


def saliency(values: FloatArray) -> Salience:
    """Magnitude of a map, averaged over a window; at the border, over the window's part inside.

    Args:
        values: [S, S], any unit.

    Returns:
        [S, S], not negative.

    Raises:
        NotFiniteError: a value is not a finite number.
    """
    check_finite(values)
    side = len(values)
    reach = smoothing_window(side) // 2
    positions = np.arange(side)
    near = (np.abs(positions[:, None] - positions[None, :]) <= reach).astype(np.float64)
    mean = near / near.sum(1, keepdims=True)
    averaged: Salience = mean @ np.abs(values.astype(np.float64)) @ mean.T
    return averaged


def ranked_pixels(salience: Salience, random: np.random.Generator) -> NDArray[np.intp]:
    """Flat indices [S * S] of the pixels, most salient first; equal ones in random order.

    Maps that are cut at zero have many equal pixels; in reading order, their first would always be the top left one.
    """
    shuffled = random.permutation(salience.size)
    order: NDArray[np.intp] = shuffled[np.argsort(-salience.ravel()[shuffled], kind="stable")]
    return order


def similarity(one: Salience, other: Salience) -> float:
    """Pearson's correlation over the pixels of two saliencies [S, S], -1 to 1.

    A map without contrast resembles nothing: 0, which is what a correlation with noise would be.
    """
    check_finite(one)
    check_finite(other)
    if _is_constant(one) or _is_constant(other):
        return 0.0
    # Scaled, so that maps in small units do not drown in the metric's own epsilon.
    first, second = (torch.from_numpy((each / each.max()).ravel()) for each in (one, other))
    return float(pearson_corrcoef(first, second))


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


def _is_constant(salience: Salience) -> bool:
    return bool(salience.std() <= CONSTANT * salience.max())
