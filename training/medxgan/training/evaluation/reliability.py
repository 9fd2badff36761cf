"""The verdict's threshold, what the verdict promises, and whether unseen patients keep the promise."""

from math import ceil, sqrt
from statistics import NormalDist

import torch
from torch import Tensor

from medxgan.training.evaluation.explained import Explained, share
from medxgan.training.evaluation.localisation import Localisation
from medxgan.v1.bundle_pb2 import CoveragePoint, Metric, Reliability, ReliabilityPromise

QUANTILE = 0.95
LEVEL = 0.95
PERCENT_KEPT = range(10, 101, 10)
"""Points of the curve."""


def calibrate(explained: Explained) -> Reliability:
    """The reconstruction error that all but the worst twentieth of these true positives stay under, and the promise.

    Args:
        explained: true positives of the calibration split, or of the training split where there is none.
    """
    maximum = explained.reconstruction_error.quantile(QUANTILE).item()
    cohort = explained.cohort
    return Reliability(
        maximum_reconstruction_mse=maximum,
        method=f"{QUANTILE:.0%} quantile over {len(cohort)} true positives of the {cohort.split} split",
        promise=_promise(explained, explained.is_reliable(maximum)),
    )


def _promise(explained: Explained, reliable: Tensor) -> ReliabilityPromise:
    cohort = explained.cohort
    promise = ReliabilityPromise(
        measured_on=str(cohort),
        images=len(cohort),
        patients=cohort.known_patients,
        coverage=share(reliable),
    )
    if reliable.any():
        kept = share(explained.applied_is_negative[reliable])
        promise.applied_negative_called_negative = kept
        promise.lower_bound = wilson_lower_bound(kept, cohort.select(reliable, cohort.part).independent)
    return promise


def wilson_lower_bound(successes: float, count: int) -> float:
    """Lower end of the 95 % interval of a share (Wilson 1927).

    Unlike the bootstrap's it is below 1 where all trials succeeded: few trials prove little.

    Args:
        successes: their share, 0 to 1.
        count: number of independent trials, at least 1.
    """
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    centre = successes + z**2 / (2 * count)
    reach = z * sqrt(successes * (1 - successes) / count + z**2 / (4 * count**2))
    return max(0.0, (centre - reach) / (1 + z**2 / count))


def reliable_metrics(explained: Explained, reliability: Reliability) -> list[Metric]:
    """How many explanations are RELIABLE, and how many of these keep the promise; the second where there are any."""
    reliable = explained.is_reliable(reliability.maximum_reconstruction_mse)
    metrics = [
        explained.cohort.metric("reliable_share", share(reliable), "Share of explanations with the verdict RELIABLE.")
    ]
    if reliable.any():
        kept = explained.cohort.select(reliable, "true positives whose explanation has the verdict RELIABLE")
        metrics.append(
            kept.metric(
                "reliable_applied_negative_called_negative",
                share(explained.applied_is_negative[reliable]),
                "Share of the RELIABLE explanations that keep the verdict's promise: the classifier calls the image "
                "less the difference shown negative.",
            )
        )
    return metrics


def coverage_curve(explained: Explained, localisation: Localisation | None) -> list[CoveragePoint]:
    """What holds of the best-reconstructed tenth of the explanations, of the best two tenths, up to all of them.

    Args:
        explained: true positives of the test split.
        localisation: their maps against lesion masks, where there are any.
    """
    order = explained.reconstruction_error.argsort(stable=True)
    # Rounded up, so that the first point holds at least one explanation.
    kept = {percent / 100: order[: ceil(len(order) * percent / 100)] for percent in PERCENT_KEPT}
    return [_coverage_point(coverage, rows, explained, localisation) for coverage, rows in kept.items()]


def _coverage_point(
    coverage: float, rows: Tensor, explained: Explained, localisation: Localisation | None
) -> CoveragePoint:
    point = CoveragePoint(
        coverage=coverage,
        images=len(rows),
        maximum_reconstruction_mse=explained.reconstruction_error[rows].max().item(),
        negative_called_negative=share(explained.negative_is_negative[rows]),
        applied_negative_called_negative=share(explained.applied_is_negative[rows]),
    )
    if localisation is not None:
        kept = torch.zeros_like(localisation.rows).index_fill(0, rows, value=True)[localisation.rows]
        if kept.any():
            point.residual_average_precision = localisation.average_precision["residual"][kept].mean().item()
            point.residual_pointing = localisation.pointing["residual"][kept].mean().item()
    return point
