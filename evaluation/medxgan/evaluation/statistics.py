"""Random numbers, confidence intervals and the area under the ROC curve.

Intervals of means come from drawing whole patients again (Efron 1979): images of one patient are not independent.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def random_for(seed: int, *purpose: str) -> np.random.Generator:
    """A generator of its own for each seed and purpose: `random_for(1, "noise 0.02", "patient-7/film-2")`.

    Its numbers depend on what they are for alone: never on the order of work, nor on an interruption.
    """
    digest = hashlib.sha256("\0".join(purpose).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, np.uint32).tolist()])


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


def figure_estimates(
    records: Iterable[Mapping[str, Any]], figures: Iterable[str], seed: int
) -> dict[str, dict[str, Any]]:
    """The mean of each figure over the images that have it, by its name, as it stands in report.json.

    Args:
        records: of images; a figure that none has is left out.
        figures: names.
        seed: of the draws.
    """
    rows = list(records)
    estimates = {}
    for figure in figures:
        measured = [row for row in rows if figure in row["figures"]]
        if measured:
            values = [row["figures"][figure] for row in measured]
            estimates[figure] = mean_estimate(values, [row["patient"] for row in measured], seed).as_json()
    return estimates


def auc_estimate(scores: Sequence[float], labels: Sequence[bool], patients: Sequence[str], seed: int) -> Estimate:
    """The area under the ROC curve; both classes must be there. Draws with one class alone are left out."""
    arguments = np.asarray(scores, np.float64), np.asarray(labels, np.bool_)
    drawn = weighted_auc(*arguments, patient_draws(patients, seed))
    return _estimate(auc(scores, labels), drawn[~np.isnan(drawn)], patients)


def auc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """The area under the ROC curve, 0 to 1; both classes must be there."""
    weights = np.ones((1, len(scores)))
    return float(weighted_auc(np.asarray(scores, np.float64), np.asarray(labels, np.bool_), weights)[0])


def weighted_auc(
    scores: NDArray[np.float64], labels: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Area under the ROC curve for many weightings of the same images at once; equal scores count half.

    Source: the Mann-Whitney statistic (Hanley and McNeil 1982). With all weights 1 it is the plain area; the weights of
    a bootstrap draw say how often each image was drawn.

    Args:
        scores: [N].
        labels: [N], True where the image is positive.
        weights: [D, N], not negative.

    Returns:
        [D] areas, 0 to 1; NaN where a class has no weight.
    """
    negative = np.sort(scores[~labels])
    order = np.argsort(scores[~labels], kind="stable")
    cumulated = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights[:, ~labels][:, order], axis=1)], axis=1)
    positive = scores[labels]
    below = cumulated[:, np.searchsorted(negative, positive, side="left")]
    not_above = cumulated[:, np.searchsorted(negative, positive, side="right")]
    won = (weights[:, labels] * (below + not_above) / 2).sum(1)
    pairs = weights[:, labels].sum(1) * cumulated[:, -1]
    areas: NDArray[np.float64] = np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return areas


def wilson_lower_bound(successes: float, count: int, chosen_among: int = 1) -> float:
    """Lower end of the 95 % interval of a share (Wilson 1927).

    Unlike the bootstrap's it is below 1 where all trials succeeded: few trials prove little.

    Args:
        successes: their share, 0 to 1.
        count: number of independent trials, at least 1.
        chosen_among: selections of trials that this one was chosen among by how they succeed. Each has an interval so
            much surer that all hold together (Bonferroni), whichever was chosen.
    """
    z = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / chosen_among)
    centre = successes + z**2 / (2 * count)
    reach = z * sqrt(successes * (1 - successes) / count + z**2 / (4 * count**2))
    return max(0.0, (centre - reach) / (1 + z**2 / count))


def _estimate(value: float, drawn: NDArray[np.float64], patients: Sequence[str]) -> Estimate:
    count = len(set(patients))
    if count < 2:
        return Estimate(value, None, None, len(patients), count)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), len(patients), count)
