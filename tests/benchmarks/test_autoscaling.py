"""When an autoscaler wants more servers, or fewer."""

from hypothesis import given
from hypothesis import strategies as st
from simulation.autoscaling import Autoscaler, AutoscalingPolicy

POLICY = AutoscalingPolicy(
    target=2, minimum=1, maximum=8, interval=10, look_back=10, up_delay=30, down_delay=60, tolerance=0.1
)


def looks(policy: AutoscalingPolicy, ongoing: list[float], servers: int = 1) -> list[int]:
    """The number of servers after each look, every ten seconds."""
    autoscaler = Autoscaler(policy)
    found = []
    for number, seen in enumerate(ongoing):
        servers = autoscaler.look(10.0 * number, seen, servers)
        found.append(servers)
    return found


def test_more_are_started_once_they_were_wanted_for_long_enough() -> None:
    assert looks(POLICY, [6, 6, 6, 6, 6]) == [1, 1, 1, 3, 3]


def test_a_peak_shorter_than_the_delay_starts_none() -> None:
    assert looks(POLICY, [2, 12, 12, 2, 12, 12, 2]) == [1] * 7


def test_as_many_are_started_as_were_wanted_all_the_time() -> None:
    assert looks(POLICY, [6, 12, 6, 12])[-1] == 3


def test_fewer_are_kept_once_the_rest_was_idle_for_long_enough() -> None:
    assert looks(POLICY, [2] * 8, servers=4) == [4] * 6 + [1, 1]


def test_what_is_within_the_tolerance_changes_nothing() -> None:
    assert looks(POLICY, [6.5] * 10, servers=3) == [3] * 10


@given(ongoing=st.lists(st.floats(0, 100), min_size=1, max_size=30), servers=st.integers(1, 8))
def test_there_are_never_fewer_or_more_than_allowed(ongoing: list[float], servers: int) -> None:
    assert all(POLICY.minimum <= each <= POLICY.maximum for each in looks(POLICY, ongoing, servers))
