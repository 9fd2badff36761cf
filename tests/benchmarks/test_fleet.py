"""What is true of every run of a fleet."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simpy import Environment
from simulation.arrivals import Arrivals, poisson
from simulation.autoscaling import AutoscalingPolicy
from simulation.balancing import Balancing
from simulation.device import Device
from simulation.fleet import Fleet, Outcome, simulate
from simulation.processors import Processors
from simulation.replica import Replica, Request
from simulation.server import ServerPolicy

OPEN, CLOSE, HOST = 0.02, 0.01, 0.004

fleets = st.builds(
    Fleet,
    servers=st.integers(1, 4),
    server=st.builds(
        ServerPolicy,
        copies=st.integers(1, 3),
        maximum_rows=st.integers(1, 8),
        maximum_waiting=st.none() | st.integers(0, 4),
    ),
    balancing=st.sampled_from(Balancing),
    autoscaling=st.none()
    | st.builds(
        AutoscalingPolicy,
        target=st.floats(0.5, 4),
        maximum=st.just(6),
        interval=st.just(0.1),
        look_back=st.just(0.3),
        up_delay=st.sampled_from([0.0, 0.2]),
        down_delay=st.sampled_from([0.0, 0.2]),
        start_delay=st.just(0.3),
    ),
)
seeds = st.integers(0, 2**32 - 1)


def some_arrivals(seed: int, rate: float = 30.0) -> Arrivals:
    random = np.random.default_rng(seed)
    return poisson(rate, 60, random).with_urgent(0.2, random).with_callers(3, random)


@pytest.fixture(scope="module")
def calibration(calibrated):
    return calibrated(open=OPEN, close=CLOSE, host=HOST, slowdown=(1.0, 1.1, 1.6))


@given(fleet=fleets, seed=seeds)
@settings(deadline=None, max_examples=50)
def test_every_request_leaves_once_and_none_sooner_than_it_can(calibration, fleet: Fleet, seed: int) -> None:
    arrivals = some_arrivals(seed)
    outcome = simulate(fleet, calibration, arrivals, seed)
    answered = np.isfinite(outcome.latency)
    assert (outcome.server >= 0).all()
    assert outcome.cost.answered == answered.sum()
    assert (outcome.latency[answered] >= calibration.alone - 1e-9).all()
    if fleet.server.maximum_waiting is None:
        assert answered.all()
    # A core is not busier than all the time, and no explanation takes less of it than its parts.
    assert 0 < outcome.cost.busy_seconds <= outcome.cost.core_seconds + 1e-9
    assert outcome.cost.busy_seconds >= answered.sum() * (calibration.alone - HOST) - 1e-9


@given(fleet=fleets, seed=seeds)
@settings(deadline=None, max_examples=20)
def test_a_seed_says_everything(calibration, fleet: Fleet, seed: int) -> None:
    one, other = (simulate(fleet, calibration, some_arrivals(seed), seed) for _ in range(2))
    np.testing.assert_array_equal(one.latency, other.latency)
    np.testing.assert_array_equal(one.server, other.server)
    assert one.servers == other.servers
    assert one.cost == other.cost


def urgent_latency(calibration, others: int, comes: float, maximum_rows: int = 4) -> float:
    """Of an urgent request that comes so long after others, all of which came at once."""
    environment = Environment()
    replica = Replica(environment, Processors(environment, calibration.slowed), calibration, maximum_rows)
    for number in range(others):
        environment.process(replica.explain(Request(str(number), 10)))
    ended: list[float] = []

    def ask():
        yield environment.timeout(comes)
        yield from replica.explain(Request("urgent", 10, urgent=True))
        ended.append(environment.now - comes)

    environment.process(ask())
    environment.run()
    return ended[0]


OTHERS = 20


@given(comes=st.floats(0, 10), maximum_rows=st.integers(1, 8))
@settings(deadline=None, max_examples=30)
def test_an_urgent_request_waits_for_one_call_of_the_others_at_a_time(
    calibration, comes: float, maximum_rows: int
) -> None:
    """However many others wait: for the call that runs when it comes, and for one before each call of its own."""
    longest = max(OPEN, CLOSE, calibration.block_seconds(maximum_rows, calibration.longest_block))
    calls = 2 + math.ceil(10 / calibration.longest_block)
    bound = calibration.alone - HOST + calls * longest
    assert urgent_latency(calibration, OTHERS, comes, maximum_rows) <= bound + 1e-9


def test_an_urgent_request_does_not_wait_with_a_block_of_others_that_is_queued_behind_their_images(calibration) -> None:
    waited = urgent_latency(calibration, OTHERS, comes=OPEN + 0.001) - (calibration.alone - HOST)
    assert waited < 4 * OPEN < (OTHERS - 3) * OPEN


def test_urgent_requests_do_not_stop_the_others() -> None:
    environment = Environment()
    device = Device(environment, Processors(environment, float))
    order: list[bool] = []
    device.on_call = lambda urgent, began, ended: order.append(urgent)
    for _ in range(9):
        device.call(1.0, urgent=True)
    for _ in range(3):
        device.call(1.0)
    environment.run()
    assert order == [True, True, True, False] * 3


def latency(outcome: Outcome, *, urgent: bool) -> float:
    return float(np.nanmean(outcome.latency[outcome.arrivals.urgent == urgent]))


def test_under_load_urgent_requests_are_sooner_done(calibration) -> None:
    outcome = simulate(Fleet(1, ServerPolicy(1, 4, None)), calibration, some_arrivals(0))
    assert latency(outcome, urgent=True) < latency(outcome, urgent=False) / 2


def test_what_has_no_room_is_refused(calibration) -> None:
    outcome = simulate(Fleet(1, ServerPolicy(1, 2, 3)), calibration, Arrivals.at(np.zeros(10)))
    assert np.isfinite(outcome.latency).tolist() == [True] * 5 + [False] * 5
    assert outcome.refused == 0.5


@pytest.mark.parametrize(
    ("rule", "chosen"), [(Balancing.ROUND_ROBIN, [0, 1, 2, 0, 1, 2]), (Balancing.LEAST_LOADED, [0, 1, 2, 0, 1, 2])]
)
def test_requests_that_come_at_once_are_spread(calibration, rule: Balancing, chosen: list[int]) -> None:
    outcome = simulate(Fleet(3, balancing=rule), calibration, Arrivals.at(np.zeros(6)))
    assert outcome.server.tolist() == chosen


def test_a_copy_for_each_core_answers_side_by_side_and_the_third_shares(calibrated) -> None:
    calibration = calibrated(slowdown=(1.0, 1.0, 1.5))
    two, three = (
        simulate(Fleet(1, ServerPolicy(copies, 1, None)), calibration, Arrivals.at(np.zeros(copies)))
        for copies in (2, 3)
    )
    assert two.latency == pytest.approx([0.1, 0.1])
    assert three.latency == pytest.approx([0.15, 0.15, 0.15])


def test_autoscaling_starts_servers_when_they_are_wanted_and_pays_for_their_start(calibrated) -> None:
    policy = AutoscalingPolicy(target=1, maximum=3, interval=1, look_back=1, up_delay=0, down_delay=5, start_delay=4)
    outcome = simulate(Fleet(1, autoscaling=policy), calibrated(), poisson(50, 1000, np.random.default_rng(0)))
    assert outcome.servers[:3] == [(0, 1), (5, 2), (5, 3)]
    last = outcome.arrivals.times[-1]
    assert outcome.cost.core_seconds > 2 * (last + 2 * (last - 1))
