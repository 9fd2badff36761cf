"""Train and test sets that share no patient."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medxgan.training.data.errors import DataError


def split_by_patient(
    patients: Sequence[str], labels: NDArray[np.uint8], test_share: float, seed: int
) -> NDArray[np.bool_]:
    """Chooses whole patients for the test set, so that each label has about its share there.

    Patients are visited in random order; one joins the test set when that brings the shares of both labels, taken
    together, nearer to `test_share`. Where each patient has a single label, the number of test images of a label is
    off by at most half of that label's largest patient.

    Args:
        patients: N names; an empty string is an unknown patient, taken for a patient of its own.
        labels: uint8 [N], 0 or 1.
        test_share: share of the images of each label to test on, 0 to 1.
        seed: fixes the random order; the same arguments give the same split.

    Returns:
        bool [N], True where the image is for testing.

    Raises:
        DataError: lengths differ, the share is out of range, or there are too few patients for two sets.
    """
    if len(patients) != len(labels):
        raise DataError(f"patients: expected {len(labels)} names, one for each label, got {len(patients)}")
    if not 0.0 <= test_share <= 1.0:
        raise DataError(f"test_share: expected 0 to 1, got {test_share}")

    groups = [f"known {name}" if name else f"unknown {row}" for row, name in enumerate(patients)]
    names, patient_of_row = np.unique(groups, return_inverse=True)
    images_of = np.zeros((len(names), 2))  # of each patient, by label
    np.add.at(images_of, (patient_of_row, labels), 1.0)
    weight_of = images_of / np.maximum(images_of.sum(axis=0), 1.0)  # of each patient, in all images of a label

    missing = test_share * (images_of.sum(axis=0) > 0)
    in_test = np.zeros(len(names), dtype=np.bool_)
    for patient in np.random.default_rng(seed).permutation(len(names)):
        left = missing - weight_of[patient]
        if left @ left < missing @ missing:
            in_test[patient] = True
            missing = left

    if 0.0 < test_share < 1.0 and in_test.all() == in_test.any():
        raise DataError(f"test_share: {len(names)} patients are too few to test on a share of {test_share}")
    chosen: NDArray[np.bool_] = in_test[patient_of_row]
    return chosen
