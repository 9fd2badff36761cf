"""Requests come as often as asked for, in order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation.arrivals import ASSUMED_DAY, bursts, by_profile, day_of, poisson

COUNT = 20_000


def test_by_chance_they_come_at_the_rate_and_gaps_have_no_memory() -> None:
    gaps = np.diff(poisson(5.0, COUNT, np.random.default_rng(0)).times)
    assert gaps.mean() == pytest.approx(1 / 5, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)


def test_bursts_have_the_mean_rate_of_their_states_and_are_more_uneven_than_chance() -> None:
    arrivals = bursts((1.0, 9.0), (30.0, 10.0), COUNT, np.random.default_rng(0))
    assert len(arrivals) / arrivals.times[-1] == pytest.approx(3.0, rel=0.1)
    counts = np.bincount((arrivals.times // 5).astype(int))
    assert counts.var() > 2 * counts.mean()


def test_a_profile_is_followed() -> None:
    arrivals = by_profile([100, 0, 4000], 60.0, np.random.default_rng(0))
    counts = np.bincount((arrivals.times // 60).astype(int), minlength=3)
    assert counts[1] == 0
    assert counts[[0, 2]] == pytest.approx([100, 4000], abs=4 * np.sqrt(4000))


def test_the_assumed_day_has_all_its_films() -> None:
    assert len(ASSUMED_DAY) == 24
    assert sum(day_of(1_000_000)) == pytest.approx(1_000_000)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 200))
def test_they_come_in_order_and_a_seed_says_when(seed: int, count: int) -> None:
    one, other = (
        (
            poisson(3.0, count, np.random.default_rng(seed)).times,
            bursts((0.0, 5.0), (1.0, 1.0), count, np.random.default_rng(seed)).times,
        )
        for _ in range(2)
    )
    for mine, same in zip(one, other, strict=True):
        assert len(mine) == count
        assert (np.diff(mine) >= 0).all()
        np.testing.assert_array_equal(mine, same)


def test_as_many_are_urgent_as_asked_for() -> None:
    random = np.random.default_rng(0)
    assert poisson(1.0, COUNT, random).with_urgent(0.1, random).urgent.mean() == pytest.approx(0.1, rel=0.1)
