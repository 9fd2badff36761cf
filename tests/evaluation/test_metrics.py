"""Metrics on cases that were worked out by hand, and against torchmetrics."""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_auroc

from medxgan.evaluation.errors import NotFiniteError
from medxgan.evaluation.metrics.deletion_insertion import (
    SHARES,
    area_under_curve,
    blurred,
    deletion_images,
    insertion_images,
)
from medxgan.evaluation.metrics.localisation import (
    average_precision,
    dice,
    intersection_over_union,
    lesion_recall,
    mass_over_area,
    otsu_region,
    pointing_game,
    separate_parts,
    top_region,
)
from medxgan.evaluation.metrics.pictures import reconstruction_figures
from medxgan.evaluation.saliency import BASELINES, ranked_pixels, saliency, similarity
from medxgan.evaluation.statistics import weighted_auc, wilson_lower_bound
from medxgan.server.explanation.maps.residual import smoothing_window

SEEDS = st.integers(0, 2**32 - 1)


def picture(*rows: str) -> np.ndarray:
    """True where there is an x."""
    return np.array([[character == "x" for character in row] for row in rows])


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("side", "window"), [(8, 3), (32, 3), (64, 5), (96, 9), (128, 11), (224, 19)])
def test_the_window_is_the_odd_number_nearest_to_a_twelfth(side: int, window: int) -> None:
    assert smoothing_window(side) == window


def test_saliency_is_the_mean_magnitude_of_the_neighbours() -> None:
    values = np.zeros((8, 8), np.float32)
    values[0, 0], values[4, 4] = -4, 9
    smooth = saliency(values)
    assert smooth[0, 0] == pytest.approx(1.0)  # of the four neighbours inside
    assert smooth[4, 4] == smooth[3, 5] == pytest.approx(1.0)  # of nine
    assert smooth[4, 6] == 0


@given(seed=SEEDS)
def test_ranked_pixels_fall_in_saliency_and_hold_each_once(seed: int) -> None:
    salience = random(seed).integers(0, 5, (6, 6)).astype(float)
    order = ranked_pixels(salience, random(seed))
    assert sorted(order) == list(range(36))
    assert np.all(np.diff(salience.ravel()[order]) <= 0)


def test_equal_pixels_come_in_no_fixed_order() -> None:
    first = {int(ranked_pixels(np.zeros((6, 6)), random(seed))[0]) for seed in range(40)}
    assert len(first) > 15


@pytest.mark.parametrize(
    "metric",
    [
        saliency,
        otsu_region,
        lambda values: average_precision(values, picture("xx", "..")),
        lambda values: pointing_game(values, picture("xx", "..")),
        lambda values: mass_over_area(values, picture("xx", "..")),
        lambda values: similarity(values, np.eye(2)),
        lambda values: similarity(np.eye(2), values),
    ],
)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_nothing_is_measured_of_a_map_that_is_not_finite(metric: Callable[[np.ndarray], object], wrong: float) -> None:
    metric(np.array([[1.0, 2.0], [3.0, 4.0]]))
    with pytest.raises(NotFiniteError, match="got 1 of 4 pixels that are none"):
        metric(np.array([[1.0, 2.0], [wrong, 4.0]]))


def test_average_precision_of_a_map_that_has_one_pixel_wrong() -> None:
    mask = picture("xx..", "....", "....", "....")
    salience = np.zeros((4, 4))
    salience[0, 0], salience[3, 3], salience[0, 1] = 3, 2, 1
    # Recall 1/2 at precision 1, then recall 1 at precision 2/3.
    assert average_precision(salience, mask) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_average_precision_of_an_empty_map_is_the_masks_share() -> None:
    assert average_precision(np.zeros((4, 4)), picture("xx..", "....", "....", "....")) == pytest.approx(2 / 16)


def test_the_region_is_as_large_as_the_mask() -> None:
    mask = picture("xxx.", "....", "....", "....")
    order = np.array([0, 1, 15, *range(2, 15)])
    region = top_region(order, mask)
    assert region.sum() == 3
    assert intersection_over_union(region, mask) == pytest.approx(2 / 4)
    assert dice(region, mask) == pytest.approx(2 * 2 / (3 + 3))


def test_a_map_has_a_threshold_of_its_own() -> None:
    salience = np.array([[0.9, 1.0, 0.0, 0.0], [0.8, 0.95, 0.0, 0.0]])
    region = otsu_region(salience)
    assert region.tolist() == [[True, True, False, False]] * 2
    assert dice(region, picture("x...", "x...")) == pytest.approx(2 * 2 / (4 + 2))
    assert not otsu_region(np.ones((2, 2))).any(), "an even map points nowhere"


def test_pointing_shares_a_hit_among_equal_pixels() -> None:
    assert pointing_game(np.array([[0.0, 3], [1, 2]]), picture(".x", "..")) == 1
    assert pointing_game(np.array([[3.0, 0], [1, 2]]), picture(".x", "..")) == 0
    assert pointing_game(np.ones((2, 2)), picture("x.", "..")) == 0.25


def test_lesions_that_touch_by_a_corner_are_one() -> None:
    mask = picture("x..x", ".x.x", "....", "x...")
    sizes = sorted(int(part.sum()) for part in separate_parts(mask))
    assert sizes == [1, 2, 2]


@given(seed=SEEDS)
def test_components_are_a_partition_of_the_mask(seed: int) -> None:
    mask = random(seed).random((7, 7)) < 0.4
    parts = separate_parts(mask)
    total = sum((part.astype(int) for part in parts), np.zeros((7, 7), int))
    assert np.array_equal(total, mask.astype(int))
    for part in parts:
        grown = np.zeros_like(mask)
        for row, column in np.argwhere(part):
            grown[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
        assert not (grown & mask & ~part).any()


def test_a_lesion_is_hit_by_a_quarter_of_it() -> None:
    lesions = [picture("xxxx....", "........"), picture(".......x", "........"), picture("........", "xxxxx...")]
    region = picture("x......x", "x.......")
    assert lesion_recall(region, lesions) == pytest.approx(2 / 3)


def test_deletion_and_insertion_go_from_one_end_to_the_other() -> None:
    x = random(1).uniform(-0.9, 1, (8, 8)).astype(np.float32)
    order = random(2).permutation(64)
    deletion, insertion = deletion_images(x, order), insertion_images(x, order)
    assert deletion.shape == insertion.shape == (SHARES + 1, 8, 8)
    assert deletion.dtype == insertion.dtype == np.float32
    np.testing.assert_array_equal(deletion[0], x)
    np.testing.assert_array_equal(deletion[-1], -1)
    np.testing.assert_array_equal(insertion[0], blurred(x))
    np.testing.assert_array_equal(insertion[-1], x)
    assert np.array_equal(np.flatnonzero(deletion[1] == -1), np.sort(order[:2]))
    assert [int((step == -1).sum()) for step in deletion] == list(range(0, 65, 2))


def test_a_blur_keeps_what_is_even() -> None:
    np.testing.assert_allclose(blurred(np.full((16, 16), 0.3, np.float32)), 0.3, atol=1e-6)


def test_the_area_is_by_trapezoids() -> None:
    assert area_under_curve(np.linspace(0, 1, SHARES + 1)) == pytest.approx(0.5)
    assert area_under_curve(np.ones(SHARES + 1)) == pytest.approx(1)


def test_the_score_of_a_classifier_that_sees_one_pixel_tells_orders_apart() -> None:
    x = np.full((8, 8), -0.5, np.float32)
    x[2, 3] = 1
    order = np.argsort(-x.ravel(), kind="stable")
    found, missed = (deletion_images(x, each)[:, 2, 3] > 0 for each in (order, order[::-1]))
    assert area_under_curve(found.astype(float)) == pytest.approx(0.5 / SHARES)
    assert area_under_curve(missed.astype(float)) == pytest.approx(1 - 0.5 / SHARES)


def test_reconstruction_figures_of_a_known_error() -> None:
    x = random(3).uniform(-1, 0.8, (32, 32)).astype(np.float32)
    figures = reconstruction_figures(x, (x + 0.2).astype(np.float32))
    assert figures["reconstruction_mse"] == pytest.approx(0.04, rel=1e-4)
    assert figures["reconstruction_psnr_db"] == pytest.approx(20, rel=1e-4)
    assert 0.5 < figures["reconstruction_ssim"] < 1


def test_similarity_does_not_depend_on_units_and_is_none_without_contrast() -> None:
    one = random(4).random((8, 8))
    assert similarity(one, 1e-7 * one) == pytest.approx(1, abs=1e-6)
    assert similarity(one, 1 - one) == pytest.approx(-1, abs=1e-6)
    assert similarity(one, np.full((8, 8), 0.2)) == 0
    assert similarity(np.zeros((8, 8)), one) == 0


@given(seed=SEEDS)
def test_the_auc_is_torchmetrics_with_ties_and_with_weights(seed: int) -> None:
    generator = random(seed)
    labels = np.array([True, False, *(generator.random(18) < 0.4)])
    scores = generator.integers(0, 6, 20) / 5
    times = generator.integers(0, 3, 20)
    times[:2] = 1
    found = weighted_auc(scores, labels, np.stack([np.ones(20), times.astype(float)]))
    for area, rows in zip(found, (np.arange(20), np.repeat(np.arange(20), times)), strict=True):
        expected = binary_auroc(torch.from_numpy(scores[rows]), torch.from_numpy(labels[rows]).long())
        assert area == pytest.approx(float(expected), abs=1e-6)


def test_the_auc_of_one_class_is_not_a_number() -> None:
    areas = weighted_auc(np.array([0.1, 0.9]), np.array([False, True]), np.array([[1.0, 0.0], [1.0, 1.0]]))
    assert np.isnan(areas[0])
    assert areas[1] == 1


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    # Newcombe, Statistics in Medicine 17 (1998), table I: method 3 for 81/263, 15/148, 0/20 and 1/29.
    [(81 / 263, 263, 0.2553), (15 / 148, 148, 0.0624), (0, 20, 0.0), (1 / 29, 29, 0.0061)],
)
def test_wilson_s_lower_bound(share: float, count: int, expected: float) -> None:
    assert wilson_lower_bound(share, count) == pytest.approx(expected, abs=5e-5)


def test_a_share_that_was_chosen_among_several_promises_less() -> None:
    bounds = [wilson_lower_bound(0.9, 50, chosen_among=choices) for choices in (1, 2, 10, 40)]
    assert bounds == sorted(bounds, reverse=True)
    # Of 97.5 % is the second: the share is so many deviations above it as leave 1.25 % on that side.
    deviations = (0.9 - bounds[1]) / np.sqrt(bounds[1] * (1 - bounds[1]) / 50)
    assert deviations == pytest.approx(NormalDist().inv_cdf(0.9875))


def test_few_successes_promise_little() -> None:
    assert wilson_lower_bound(1, 1) < 0.25 < 0.9 < wilson_lower_bound(1, 100) < 1


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_a_map_that_is_not_negative(name: str) -> None:
    x = random(5).uniform(-1, 1, (16, 16)).astype(np.float32)
    values = BASELINES[name](x, random(6))
    assert values.shape == x.shape
    assert values.dtype == np.float32
    assert values.min() >= 0
    np.testing.assert_array_equal(values, BASELINES[name](x, random(6)))
