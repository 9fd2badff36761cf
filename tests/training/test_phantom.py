"""The phantoms: exact masks, no lesion that plain brightness gives away, the same slices from the same seed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from medxgan.training.data import DataError, LabelledImages, phantoms

Stack = NDArray[np.float64]


def stack(samples: LabelledImages) -> Stack:
    return np.stack(samples.images).astype(float)


def masks_of(samples: LabelledImages) -> NDArray[np.bool_]:
    assert samples.masks is not None
    return samples.masks


def average_precision(score: Stack, truth: NDArray[np.bool_]) -> float:
    """Mean precision over the true pixels, from the highest score down; ties in the order of the pixels."""
    ranked = truth.ravel()[np.argsort(-score.ravel(), kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, ranked.size + 1)
    return float(precision[ranked].mean())


def test_average_precision_of_a_case_solved_by_hand() -> None:
    score = np.array([4.0, 3.0, 2.0, 1.0])
    assert average_precision(score, np.array([True, False, True, False])) == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_positives_have_lesions_and_negatives_none() -> None:
    samples = phantoms(300, seed=3)
    lesion_pixels = masks_of(samples).sum(axis=(1, 2))
    assert samples.labels.sum() == 150
    assert (lesion_pixels[samples.labels == 0] == 0).all()
    assert (lesion_pixels[samples.labels == 1] > 0).all()
    assert 0.01 < lesion_pixels[samples.labels == 1].mean() / 64**2 < 0.06


def test_brightness_alone_does_not_find_the_lesions() -> None:
    samples = phantoms(200, seed=4, positive_share=1.0)
    found = [average_precision(*pair) for pair in zip(stack(samples), masks_of(samples), strict=True)]
    assert np.mean(found) < 0.35
    assert np.mean(found) > masks_of(samples).mean()  # but a lesion is brighter than what it grew in


def test_healthy_parts_are_brighter_than_nearly_any_lesion() -> None:
    samples = phantoms(200, seed=5, positive_share=1.0)
    pairs = zip(stack(samples), masks_of(samples), strict=True)
    assert np.mean([np.percentile(picture[~mask], 98) > np.median(picture[mask]) for picture, mask in pairs]) > 0.98


def test_same_seed_without_lesions_is_the_same_patient_healthy() -> None:
    ill, healthy = phantoms(40, seed=6, positive_share=1.0), phantoms(40, seed=6, positive_share=0.0)
    change = stack(ill) - stack(healthy)
    masks = masks_of(ill)
    near = masks.copy()
    for axis, step in ((1, 1), (1, -1), (2, 1), (2, -1)):  # the soft edge of a lesion is a pixel wide
        near |= np.roll(masks, step, axis)
    assert change[masks].mean() > 20
    assert (change[masks] > 0).mean() > 0.99
    assert np.abs(change).sum() == pytest.approx(np.abs(change[near]).sum(), rel=0.01)


def test_same_seed_same_slices_and_another_seed_others() -> None:
    first, again, other = (phantoms(10, seed=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(stack(first), stack(again))
    np.testing.assert_array_equal(masks_of(first), masks_of(again))
    assert (stack(first) != stack(other)).any(axis=(1, 2)).all()


def test_heads_differ_and_stay_within_the_picture() -> None:
    pictures = stack(phantoms(150, seed=9))
    border = np.concatenate([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], axis=1)
    assert np.percentile(border, 99) < 40
    means = pictures.mean(axis=(1, 2))
    assert means.std() > 2
    assert len(np.unique(means)) > 140


@pytest.mark.parametrize("size", [32, 128])
def test_other_sizes_draw_the_same_kind_of_slice(size: int) -> None:
    samples = phantoms(12, size=size, seed=10)
    assert samples.images[0].shape == (size, size)
    assert samples.images[0].dtype == np.uint8
    assert 0.2 < np.mean(stack(samples) > 60) < 0.6  # the head


def test_no_slices_are_a_set_too() -> None:
    assert len(phantoms(0)) == 0


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"count": -1}, "count"),
        ({"size": 16}, "size"),
        ({"seed": -1}, "seed"),
        ({"positive_share": 1.2}, "positive_share"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, float], field: str) -> None:
    with pytest.raises(DataError, match=f"^{field}: expected"):
        phantoms(**({"count": 2} | arguments))  # type: ignore[arg-type]
