"""The starts of one image's inversion, and which of their ends is the answer."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.inversion.solver import Row
from medxgan.server.inversion.starts import RESTART_DEVIATION, comparable, leading, starting_codes
from medxgan.v1 import bundle_pb2

LATENT = bundle_pb2.LatentSpecification(z1_size=4, z2_size=2)
RATES = np.full((1, 6), 0.05, np.float32)
GUESS = np.random.default_rng(0).standard_normal((1, 6), np.float32)


def test_the_first_start_is_drawn_by_the_seed_on_every_platform_alike():
    (z,) = starting_codes(None, LATENT, RATES, 1, seed=0)
    np.testing.assert_allclose(z, [[0, 0, 0, 0, -0.24822916, -0.02676702]], atol=1e-6)
    (other,) = starting_codes(None, LATENT, RATES, 1, seed=2**64 - 1)
    assert np.any(other != z)
    assert z.dtype == np.float32


def test_the_first_start_is_the_encoders_guess_where_there_is_one():
    (z,) = starting_codes(GUESS, LATENT, RATES, 1, seed=0)
    np.testing.assert_array_equal(z, GUESS)


@given(st.integers(0, 2**64 - 1), st.integers(1, 16), st.sampled_from([None, GUESS]))
def test_a_start_is_the_same_whatever_comes_after_it(seed, restarts, guess):
    every, some = (starting_codes(guess, LATENT, RATES, count, seed) for count in (16, restarts))
    assert len(some) == restarts
    for one, other in zip(some, every, strict=False):
        np.testing.assert_array_equal(one, other)
    assert len({each.tobytes() for each in every}) == 16
    assert {each.dtype for each in every} == {np.dtype(np.float32)}


def test_restarts_lie_around_the_first_guess():
    noise = _noise(RATES)
    assert noise.std() == pytest.approx(RESTART_DEVIATION, rel=0.05)
    assert abs(noise.mean()) < 0.05


def test_a_restart_disturbs_a_latent_as_far_as_it_may_move():
    noise = _noise(RATES * np.array([1, 1, 1, 1, 0.1, 0], np.float32))
    np.testing.assert_allclose(noise.std(0), RESTART_DEVIATION * np.array([1, 1, 1, 1, 0.1, 0]), rtol=0.1)


def _noise(rates):
    starts = (starting_codes(GUESS, LATENT, rates, 16, seed) for seed in range(50))
    return np.concatenate([z - GUESS for own in starts for z in own[1:]])


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0.3, 0.2, 0.4], 1),
        ([0.2, 0.2], 0),
        ([math.nan, 0.2, 0.1], 2),
        ([0.2, math.nan], 0),
        ([math.nan, math.nan], 0),
        ([math.inf, math.nan], 0),
    ],
)
def test_the_lowest_loss_is_the_answer(losses, expected):
    assert min(range(len(losses)), key=lambda index: comparable(losses[index])) == expected


def test_progress_is_that_of_the_slowest_with_the_losses_of_the_best():
    def terminated(row: Row) -> bool:
        return row.converged or row.steps_taken >= row.steps

    def told(*rows: Row) -> tuple[int, float, float]:
        steps_taken, best = leading(rows, terminated)
        return steps_taken, best.reconstruction_mse, best.classification_loss

    waiting = Row(40, 4.0)
    begun = replace(waiting, steps_taken=20, reconstruction_mse=0.1, classification_loss=0.2)
    worse = replace(waiting, steps_taken=10, reconstruction_mse=0.3, classification_loss=0.2)
    settled = replace(worse, steps_taken=5, converged=True)
    assert told(begun) == (20, 0.1, 0.2)
    assert told(worse, begun) == (10, 0.1, 0.2)
    assert told(begun, waiting) == (0, 0.1, 0.2)
    assert told(begun, settled) == (20, 0.1, 0.2)
    assert told(replace(begun, converged=True), settled) == (20, 0.1, 0.2)
