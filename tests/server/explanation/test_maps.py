"""What maps are made of: their properties, whatever the pictures."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medxgan.server.explanation.maps.difference import LEAST_FULL_COLOUR, colorized_map, uncertainty_map
from medxgan.server.explanation.maps.gradients import class_activation_map
from medxgan.server.explanation.maps.occlusion import window_covers
from medxgan.server.explanation.maps.path_integral import gauss_legendre
from medxgan.server.explanation.maps.residual import box_mean, residual_map, smoothing_window


def pictures(limit: float) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float32, (8, 8), elements=st.floats(-limit, limit, width=32))


@given(pictures(1), pictures(2))
def test_colours_stay_in_range_and_say_the_sign(original, difference):
    colours = colorized_map(original, difference)
    grey = (original + 1) / 2
    assert colours.dtype == np.float32
    assert colours.min() >= 0
    assert colours.max() <= 1
    red, blue = colours[..., 0], colours[..., 2]
    assert np.all(red[difference > 0] >= grey[difference > 0] - 1e-6)
    assert np.all(blue[difference > 0] <= grey[difference > 0] + 1e-6)
    assert np.all(blue[difference < 0] >= grey[difference < 0] - 1e-6)
    assert np.all(red[difference < 0] <= grey[difference < 0] + 1e-6)


@given(pictures(1), pictures(2))
def test_what_adds_and_what_takes_away_are_drawn_alike(original, difference):
    adds, takes = colorized_map(original, difference), colorized_map(original, -difference)
    np.testing.assert_allclose(adds, takes[..., ::-1], atol=1e-6)


@given(pictures(1))
def test_no_difference_leaves_the_grey_original(original):
    colours = colorized_map(original, np.zeros((8, 8), np.float32))
    np.testing.assert_allclose(colours, np.repeat(((original + 1) / 2)[..., None], 3, axis=2), atol=1e-6)


def test_a_map_of_next_to_nothing_stays_pale_and_a_strong_one_reaches_full_colour():
    black = np.full((8, 8), -1, np.float32)
    faint = colorized_map(black, np.full((8, 8), LEAST_FULL_COLOUR / 10, np.float32))
    np.testing.assert_allclose(faint[..., 0], 0.1, atol=1e-6)
    strong = colorized_map(black, np.full((8, 8), -1.5, np.float32))
    np.testing.assert_array_equal(strong, np.broadcast_to(np.float32([0, 0, 1]), (8, 8, 3)))


@given(pictures(1), pictures(1), pictures(1))
def test_the_residual_map_keeps_to_its_range(original, reconstruction, negative):
    residual = residual_map(original, reconstruction, negative)
    assert (residual.shape, residual.dtype) == ((8, 8), np.float32)
    assert np.abs(residual).max() <= 4 * (1 + 1e-5)
    np.testing.assert_array_equal(residual_map(original, negative, negative), 0)


@given(st.lists(pictures(2), min_size=1, max_size=5))
def test_the_uncertainty_is_the_deviation_over_restarts(differences):
    uncertainty = uncertainty_map(differences)
    assert uncertainty.dtype == np.float32
    assert uncertainty.min() >= 0
    assert uncertainty.max() <= 2
    np.testing.assert_array_equal(uncertainty_map(differences[:1] * 3), 0)
    np.testing.assert_allclose(uncertainty_map([-each for each in differences[::-1]]), uncertainty, atol=1e-6)


def test_opposite_extremes_are_as_uncertain_as_can_be():
    full = np.full((8, 8), 2, np.float32)
    np.testing.assert_array_equal(uncertainty_map([full, -full]), 2)


@given(st.integers(1, 60))
def test_the_quadrature_is_exact_for_polynomials(count):
    points, weights = gauss_legendre(count)
    for degree in {0, 1, 2 * count - 1}:
        assert float(weights @ points**degree) == pytest.approx(1 / (degree + 1))


@given(side=st.integers(1, 80), data=st.data())
def test_windows_cover_every_pixel_and_end_at_the_border(side, data):
    window = data.draw(st.integers(1, side))
    stride = data.draw(st.integers(1, window))
    covers = window_covers(side, window, stride)
    assert covers.any(axis=0).all()
    assert len(covers) == -(-(side - window) // stride) + 1
    assert covers[0].sum() == window
    assert covers[-1, -1]
    assert not covers[:-1, -1].any(), "no window before the last reaches the border"


def test_grad_cam_is_where_activations_raise_the_logit():
    activations = np.zeros((2, 4, 4), np.float32)
    activations[0, 0, 0] = activations[1, 3, 3] = 1
    gradients = np.stack([np.full((4, 4), 2, np.float32), np.full((4, 4), -3, np.float32)])
    evidence = class_activation_map(activations, gradients, 16)
    assert (evidence.shape, evidence.dtype) == ((16, 16), np.float32)
    assert evidence.min() == 0
    assert evidence.max() == evidence[0, 0] == pytest.approx(2)
    assert np.all(evidence[8:, 8:] == 0)


@given(arrays(np.float32, (3, 4, 4), elements=st.floats(-1, 1, width=32)))
def test_grad_cam_is_never_negative(activations):
    assert class_activation_map(activations, activations[::-1].copy(), 8).min() >= 0


@given(arrays(np.float32, (3, 7, 7), elements=st.floats(0, 1, width=32)), st.sampled_from([7, 14, 32, 50, 224]))
def test_activation_maps_are_resized_as_torch_does(activations, side):
    expected = torch.nn.functional.interpolate(torch.from_numpy(activations)[None], (side, side), mode="bilinear")[0]
    for channel, resized in zip(activations, expected, strict=True):
        found = class_activation_map(channel[np.newaxis], np.ones((1, 7, 7), np.float32), side)
        np.testing.assert_allclose(found, resized.numpy(), atol=1e-5)


@pytest.mark.parametrize(("side", "window"), [(8, 3), (32, 3), (64, 5), (96, 9), (224, 19), (512, 43)])
def test_the_smoothing_follows_the_size_of_the_image(side, window):
    assert smoothing_window(side) == window
    assert window % 2 == 1
    assert window == 3 or abs(window - side / 12) <= 1


@given(arrays(np.float32, (9, 9), elements=st.floats(-2, 2, width=32)), st.sampled_from([3, 5]))
def test_smoothing_is_that_of_torch(image, window):
    expected = torch.nn.functional.avg_pool2d(torch.from_numpy(image)[None, None], window, 1, window // 2)[0, 0]
    np.testing.assert_allclose(box_mean(image, window), expected.numpy(), atol=1e-5)


@given(pictures(1), pictures(1), pictures(1))
def test_the_residual_map_has_the_sign_that_both_agree_on(original, reconstruction, negative):
    found = residual_map(original, reconstruction, negative)
    residual, difference = box_mean(original - negative, 3), box_mean(reconstruction - negative, 3)
    np.testing.assert_allclose(np.abs(found), np.maximum(residual * difference, 0), atol=1e-6)
    assert np.all(found * difference >= 0)
    np.testing.assert_allclose(residual_map(-original, -reconstruction, -negative), -found, atol=1e-6)
