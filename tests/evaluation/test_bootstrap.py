"""Intervals by drawing whole patients again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.evaluation.statistics import DRAWS, auc_estimate, mean_estimate, patient_draws

PATIENTS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=20)


@given(patients=PATIENTS, seed=st.integers(0, 100))
def test_whole_patients_are_drawn_as_many_as_there_are(patients: list[str], seed: int) -> None:
    draws = patient_draws(patients, seed)
    assert draws.shape == (DRAWS, len(patients))
    names = sorted(set(patients))
    of_patient = np.stack([draws[:, patients.index(name)] for name in names], 1)
    assert np.all(of_patient.sum(1) == len(names))
    for column, name in enumerate(patients):
        assert np.array_equal(draws[:, column], of_patient[:, names.index(name)])


@given(patients=PATIENTS, seed=st.integers(0, 100))
def test_the_value_lies_between_the_ends(patients: list[str], seed: int) -> None:
    values = np.random.default_rng(seed).random(len(patients)).tolist()
    estimate = mean_estimate(values, patients, seed)
    assert estimate.value == pytest.approx(np.mean(values))
    assert estimate.patients == len(set(patients))
    if estimate.patients < 2:
        assert estimate.low is estimate.high is None
    else:
        assert estimate.low is not None
        assert estimate.high is not None
        assert min(values) - 1e-9 <= estimate.low <= estimate.high <= max(values) + 1e-9


def test_images_of_one_patient_do_not_make_the_interval_narrow() -> None:
    values = [0.0, 1.0] * 4
    apart = mean_estimate(values * 10, [f"p{row}" for row in range(80)], 0)
    together = mean_estimate(values * 10, [f"p{row % 8}" for row in range(80)], 0)
    assert apart.high is not None
    assert apart.low is not None
    assert together.high is not None
    assert together.low is not None
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_the_interval_of_a_mean_is_the_textbooks() -> None:
    values = np.random.default_rng(0).normal(0, 1, 400)
    estimate = mean_estimate(values.tolist(), [f"p{row}" for row in range(400)], 0)
    assert estimate.low == pytest.approx(values.mean() - 1.96 / 20, abs=0.015)
    assert estimate.high == pytest.approx(values.mean() + 1.96 / 20, abs=0.015)


def test_the_seed_alone_decides() -> None:
    arguments = [0.1, 0.9, 0.4, 0.6], ["a", "b", "c", "d"]
    assert mean_estimate(*arguments, seed=1) == mean_estimate(*arguments, seed=1)
    assert mean_estimate(*arguments, seed=1) != mean_estimate(*arguments, seed=2)


def test_the_auc_has_an_interval() -> None:
    generator = np.random.default_rng(1)
    labels = [bool(row % 2) for row in range(60)]
    scores = [float(generator.normal(label, 1)) for label in labels]
    estimate = auc_estimate(scores, labels, [f"p{row // 2}" for row in range(60)], 0)
    assert estimate.low is not None
    assert estimate.high is not None
    assert 0.5 < estimate.low < estimate.value < estimate.high <= 1
    assert (estimate.images, estimate.patients) == (60, 30)
