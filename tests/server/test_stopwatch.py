"""The stopwatch: every moment belongs to one phase."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.stopwatch import Phase, Stopwatch


@given(st.lists(st.tuples(st.sampled_from(Phase), st.none() | st.floats(-1, 1)), max_size=10))
def test_the_phases_add_up_to_the_whole_whatever_the_switches(switches) -> None:
    began = time.perf_counter()
    stopwatch = Stopwatch()
    made = time.perf_counter()
    latest = made
    for phase, offset in switches:
        at = None if offset is None else time.perf_counter() + offset
        stopwatch.switch(phase, at)
        latest = max(latest, at or 0)
    before = time.perf_counter()
    parts = stopwatch.milliseconds()
    after = time.perf_counter()
    assert list(parts) == list(Phase)
    assert min(parts.values()) >= 0
    total = sum(parts.values())
    # A switch to a moment still to come counts up to that moment; float64 adds to within a nanosecond here.
    assert total >= 1000 * (max(before, latest) - made) - 1e-6
    assert total <= 1000 * (max(after, latest) - began) + 1e-6


def test_it_begins_in_the_queue_and_time_counts_for_the_phase_it_passed_in() -> None:
    began = time.perf_counter()
    stopwatch = Stopwatch()
    now = time.perf_counter()
    stopwatch.switch(Phase.INVERSION, at=now + 10)
    stopwatch.switch(Phase.MAPS, at=now + 13)
    stopwatch.switch(Phase.MAPS, at=now + 14)
    parts = stopwatch.milliseconds()
    assert 10_000 - 1e-6 <= parts[Phase.QUEUED] <= 10_000 + 1000 * (now - began) + 1e-6
    assert parts[Phase.INVERSION] == pytest.approx(3000)
    assert parts[Phase.MAPS] == pytest.approx(1000)
    assert parts[Phase.PREPROCESS] == parts[Phase.POSITIVE_REALIZATION] == 0


def test_a_phase_does_not_begin_before_the_last_one_did() -> None:
    """Two rows of one request: the other began while this one's end was being told."""
    stopwatch = Stopwatch()
    now = time.perf_counter()
    stopwatch.switch(Phase.INVERSION, at=now + 5)
    stopwatch.switch(Phase.MAPS, at=now + 1)
    assert stopwatch.milliseconds()[Phase.INVERSION] == 0


def test_intervals_follow_each_other_without_a_gap_and_add_up() -> None:
    stopwatch = Stopwatch()
    for phase in (Phase.PREPROCESS, Phase.QUEUED, Phase.INVERSION, Phase.MAPS):
        stopwatch.milliseconds()
        stopwatch.switch(phase)
    before = sum(stopwatch.milliseconds().values())
    intervals = stopwatch.intervals()
    after = sum(stopwatch.milliseconds().values())
    order = [Phase.QUEUED, Phase.PREPROCESS, Phase.QUEUED, Phase.INVERSION, Phase.MAPS]
    assert [phase for phase, _, _ in intervals] == order
    assert all(ended == began for (_, _, ended), (_, began, _) in itertools.pairwise(intervals))
    in_all = 1000 * sum(ended - began for _, began, ended in intervals)
    assert before - 1e-3 <= in_all <= after + 1e-3
