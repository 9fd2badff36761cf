"""Known results of queueing theory, where the fleet is set up to be the queue that they are about."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import gammainc
from simpy import Environment
from simulation.arrivals import Arrivals, poisson
from simulation.balancing import Balancing
from simulation.fleet import Fleet, simulate
from simulation.processors import Processors
from simulation.server import ServerPolicy

ONE_AFTER_THE_OTHER = ServerPolicy(copies=1, maximum_rows=1, maximum_waiting=None)
REPLICATIONS = 8
REQUESTS = 1500
WARM_UP = 300
STANDARD_ERRORS = 4
"""That the mean of the replications may be off: by chance once in some 200 tests, and the seeds are fixed."""


def mean_wait(of: Callable[[np.random.Generator], NDArray[np.float64]]) -> tuple[float, float]:
    """Mean and standard error over replications of the waiting times [N] of one."""
    means = [float(of(np.random.default_rng(seed))[WARM_UP:].mean()) for seed in range(REPLICATIONS)]
    return float(np.mean(means)), float(np.std(means, ddof=1) / np.sqrt(REPLICATIONS))


def deterministic_wait(rate: float, service: float, servers: int) -> float:
    """Mean wait in M/D/c, exactly.

    With equal service times the c servers of one queue take the requests in turn, so each is an Erlang(c)/D/1, whose
    mean wait is Spitzer's sum over i of E[(i · service - arrivals' gap)+] / i.
    """
    i = np.arange(1, 2000)
    busy, shape = i * service, i * servers
    expected = busy * gammainc(shape, rate * busy) - shape / rate * gammainc(shape + 1, rate * busy)
    return float((expected / i).sum())


def test_the_formula_is_that_of_pollaczek_and_khinchin_for_one_server() -> None:
    assert deterministic_wait(0.8, 1.0, 1) == pytest.approx(0.8 / (2 * (1 - 0.8)))


@pytest.mark.slow
@pytest.mark.parametrize("servers", [1, 3])
def test_waiting_times_are_those_of_m_d_c(calibrated, servers: int) -> None:
    calibration, service, load = calibrated(longest_block=10), 0.1, 0.7
    rate = load * servers / service

    def wait(random: np.random.Generator) -> NDArray[np.float64]:
        fleet = Fleet(servers, ONE_AFTER_THE_OTHER, Balancing.ROUND_ROBIN)
        return simulate(fleet, calibration, poisson(rate, REQUESTS, random)).latency - service

    mean, error = mean_wait(wait)
    assert mean == pytest.approx(deterministic_wait(rate, service, servers), abs=STANDARD_ERRORS * error)


@pytest.mark.slow
def test_waiting_times_are_those_of_m_m_1(calibrated) -> None:
    service, load, step = 1.0, 0.6, 0.001
    calibration = calibrated(step=(step, step, step), check_interval=10**9, longest_block=10**9)

    def wait(random: np.random.Generator) -> NDArray[np.float64]:
        # Geometric numbers of short steps: exponential but for a thousandth.
        steps = random.geometric(step / service, REQUESTS)
        arrivals = poisson(load / service, REQUESTS, random).with_steps(steps)
        return simulate(Fleet(1, ONE_AFTER_THE_OTHER), calibration, arrivals).latency - steps * step

    mean, error = mean_wait(wait)
    assert mean == pytest.approx(load / (1 - load) * service, abs=STANDARD_ERRORS * error)


def test_a_core_that_is_shared_answers_as_processor_sharing_does() -> None:
    service, load = 1.0, 0.6

    def sojourn(random: np.random.Generator) -> NDArray[np.float64]:
        environment = Environment()
        core = Processors(environment, lambda busy: busy)
        times = np.cumsum(random.exponential(service / load, REQUESTS))
        left = np.zeros(REQUESTS)

        def ask():
            for number, time in enumerate(times):
                yield environment.timeout(time - environment.now)
                done = core.run(random.exponential(service))
                done.callbacks.append(lambda _, number=number: left.__setitem__(number, environment.now))

        environment.process(ask())
        environment.run()
        return left - times

    mean, error = mean_wait(sojourn)
    assert mean == pytest.approx(service / (1 - load), abs=STANDARD_ERRORS * error)


@given(work=st.lists(st.floats(0, 10), min_size=1, max_size=8), slowed=st.floats(1, 3))
def test_shared_cores_do_all_work_and_the_least_first(work: list[float], slowed: float) -> None:
    environment = Environment()
    cores = Processors(environment, lambda busy: slowed if busy > 1 else 1.0)
    ended: list[tuple[float, float]] = []
    for seconds in work:
        cores.run(seconds).callbacks.append(lambda _, seconds=seconds: ended.append((environment.now, seconds)))
    environment.run()
    assert [seconds for _, seconds in ended] == sorted(work)
    second = sorted(work)[-2] if len(work) > 1 else 0.0
    assert ended[-1][0] == pytest.approx(second * slowed + (max(work) - second))


def test_rows_of_a_batch_that_costs_nothing_more_do_not_wait_for_one_another(calibrated) -> None:
    calibration = calibrated(step=(0.01, 0.01, 0.01))
    together, alone = (
        simulate(Fleet(1, ServerPolicy(1, rows, None)), calibration, Arrivals.at(np.zeros(8))).latency
        for rows in (8, 1)
    )
    assert alone == pytest.approx(0.1 * np.arange(1, 9))
    # Some meet a block that has begun, or an image that is still to be opened behind it.
    assert together.max() == pytest.approx(0.2)
