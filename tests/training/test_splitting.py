"""The split by patient: what holds for every set of patients and labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.training.data import DataError, split_by_patient

LABELS = st.lists(st.integers(0, 1), min_size=4, max_size=60)
SHARES = st.floats(0.0, 1.0)
SEEDS = st.integers(0, 2**32 - 1)


def split(patients: list[str], labels: list[int], share: float, seed: int = 0) -> np.ndarray:
    return split_by_patient(patients, np.array(labels, dtype=np.uint8), share, seed)


def split_if_possible(patients: list[str], labels: list[int], share: float, seed: int) -> np.ndarray | None:
    try:
        return split(patients, labels, share, seed)
    except DataError as error:
        assert "too few" in str(error)  # noqa: PT017 - the one error that a fitting set may meet
        return None


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "b", "c", "d", "e"]), st.integers(0, 1)), min_size=2), SHARES, SEEDS
)
def test_no_patient_is_on_both_sides(rows: list[tuple[str, int]], share: float, seed: int) -> None:
    patients, labels = [name for name, _ in rows], [label for _, label in rows]
    test = split_if_possible(patients, labels, share, seed)
    if test is not None:
        sides = [
            {name for name, chosen in zip(patients, test, strict=True) if chosen == side} for side in (True, False)
        ]
        assert sides[0] & sides[1] <= {""}


@given(LABELS, SHARES, SEEDS)
def test_images_of_unknown_patients_are_parted_to_the_nearest_share(labels: list[int], share: float, seed: int) -> None:
    test = split_if_possible([""] * len(labels), labels, share, seed)
    if test is not None:
        for label in (0, 1):
            of_label = np.array(labels) == label
            assert abs(test[of_label].sum() - share * of_label.sum()) <= 0.5 + 1e-6


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1)), min_size=4, max_size=30), SHARES, SEEDS)
def test_a_label_is_off_by_half_a_patient_at_most(patients: list[tuple[int, int]], share: float, seed: int) -> None:
    names = [f"p{number}" for number, (images, _) in enumerate(patients) for _ in range(images)]
    labels = [label for images, label in patients for _ in range(images)]
    test = split_if_possible(names, labels, share, seed)
    if test is not None:
        for label in (0, 1):
            of_label = np.array(labels) == label
            largest = max((images for images, patient_label in patients if patient_label == label), default=0)
            assert abs(test[of_label].sum() - share * of_label.sum()) <= largest / 2 + 1e-6


@given(LABELS, SEEDS)
def test_same_seed_same_split(labels: list[int], seed: int) -> None:
    patients = [f"p{row // 2}" for row in range(len(labels))]
    first, second = (split_if_possible(patients, labels, 0.4, seed) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_another_seed_chooses_other_patients() -> None:
    patients = [f"p{row}" for row in range(100)]
    labels = [row % 2 for row in range(100)]
    assert (split(patients, labels, 0.3, seed=1) != split(patients, labels, 0.3, seed=2)).any()


def test_labels_stay_balanced_where_patients_have_both() -> None:
    rng = np.random.default_rng(5)
    patients = [f"p{number}" for number in rng.integers(0, 80, 1500)]
    labels = (rng.random(1500) < 0.2).astype(int).tolist()
    test = split(patients, labels, 0.25)
    for label in (0, 1):
        assert test[np.array(labels) == label].mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(("share", "expected"), [(0.0, False), (1.0, True)])
def test_all_images_can_be_on_one_side(share: float, expected: bool) -> None:
    assert (split(["a", "a", "b", ""], [0, 1, 1, 0], share) == expected).all()


@pytest.mark.parametrize(
    ("patients", "share", "message"),
    [
        (["a", "a", "a", "a"], 0.5, "too few"),
        (["a", "b", "c", "d"], 1.5, "expected 0 to 1, got 1.5"),
        (["a", "b"], 0.5, "expected 4 names"),
    ],
)
def test_impossible_splits_are_refused(patients: list[str], share: float, message: str) -> None:
    with pytest.raises(DataError, match=message):
        split(patients, [0, 1, 0, 1], share)
