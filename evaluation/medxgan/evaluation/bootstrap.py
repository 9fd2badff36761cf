"""Confidence intervals by drawing whole patients again (Efron 1979): images of one patient are not independent."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medxgan.evaluation.metrics.classifier import weighted_auc
from medxgan.evaluation.randomness import random_for

DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: over all images.
        low: 2.5 % percentile over the draws; None where there are fewer than two patients to draw.
        high: 97.5 % percentile.
        images: that the figure is over.
        patients: that the images are of.
    """

    value: float
    low: float | None
    high: float | None
    images: int
    patients: int

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def patient_draws(patients: Sequence[str], seed: int) -> NDArray[np.float64]:
    """How often each image is in each draw: [DRAWS, N]. As many patients are drawn, with replacement, as there are.

    The draws depend on the patients alone, so that methods measured on the same images are compared on the same draws.
    """
    names, patient_of_image = np.unique(np.asarray(patients), return_inverse=True)
    count = len(names)
    times = random_for(seed, "bootstrap").multinomial(count, np.full(count, 1 / count), DRAWS)
    drawn: NDArray[np.float64] = times[:, patient_of_image].astype(np.float64)
    return drawn


def mean_estimate(values: Sequence[float], patients: Sequence[str], seed: int) -> Estimate:
    """The mean over images.

    Args:
        values: of N >= 1 images.
        patients: whose images they are.
        seed: of the draws.
    """
    of_image = np.asarray(values, np.float64)
    draws = patient_draws(patients, seed)
    return _estimate(float(of_image.mean()), draws @ of_image / draws.sum(1), patients)


def auc_estimate(scores: Sequence[float], labels: Sequence[bool], patients: Sequence[str], seed: int) -> Estimate:
    """The area under the ROC curve; both classes must be there. Draws with one class alone are left out."""
    arguments = np.asarray(scores, np.float64), np.asarray(labels, np.bool_)
    value = weighted_auc(*arguments, np.ones((1, len(scores))))[0]
    drawn = weighted_auc(*arguments, patient_draws(patients, seed))
    return _estimate(float(value), drawn[~np.isnan(drawn)], patients)


def _estimate(value: float, drawn: NDArray[np.float64], patients: Sequence[str]) -> Estimate:
    count = len(set(patients))
    if count < 2:
        return Estimate(value, None, None, len(patients), count)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), len(patients), count)
