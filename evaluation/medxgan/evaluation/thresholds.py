"""The verdict's threshold, from patients that nothing was trained on, and what the checks of a bundle do to others."""

import numpy as np

from medxgan.evaluation.cohort import Cohort, Explained
from medxgan.evaluation.statistics import wilson_lower_bound
from medxgan.v1.bundle_pb2 import Bundle, Reliability, ReliabilityPromise

KEPT = 0.95
"""Share of true positives whose reconstruction is near enough."""


def measure_familiarity(description: Bundle, test: Cohort) -> None:
    """State how many real images the bundle calls unfamiliar, by the maxima that training set.

    Args:
        description: whose `familiarity` states it.
        test: images of patients whom nothing was fitted to.
    """
    description.familiarity.false_alarm_rate = float(np.mean([not opened.familiar for opened in test.opened]))
    description.familiarity.measured_on = str(test)


def set_reliability(description: Bundle, calibration: Explained) -> Explained:
    """Set the reconstruction error that all but the worst twentieth of these true positives stay under.

    Args:
        description: whose `reliability` is set anew: threshold, method and promise.
        calibration: true positives of the calibration split, or of the training split where there is none.

    Returns:
        The explanations, judged by the new threshold.
    """
    cohort = calibration.cohort
    maximum = float(np.quantile(calibration.figures["reconstruction_mse"], KEPT))
    method = f"{KEPT:.0%} quantile over {len(cohort)} true positives of the {cohort.split} split"
    description.reliability.CopyFrom(Reliability(maximum_reconstruction_mse=maximum, method=method))
    judged = calibration.judged_by(description)
    description.reliability.promise.CopyFrom(_promise(judged))
    return judged


def _promise(explained: Explained) -> ReliabilityPromise:
    cohort, reliable = explained.cohort, explained.reliable
    promise = ReliabilityPromise(
        measured_on=str(cohort),
        images=len(cohort),
        patients=cohort.known_patients,
        coverage=float(reliable.mean()),
    )
    if reliable.any():
        kept = float(explained.figures["applied_label_flips"][reliable].mean())
        promise.applied_negative_called_negative = kept
        promise.lower_bound = wilson_lower_bound(kept, cohort.select(reliable, cohort.part).independent)
    return promise
