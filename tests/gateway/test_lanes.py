"""Threads that do one thing after the other, whatever one of the things does."""

import threading
from collections.abc import Callable

import pytest

from medxgan.gateway import lanes
from medxgan.gateway.intake.archive import ArchiveAwayError
from medxgan.gateway.lanes import Lane
from medxgan.gateway.telemetry.metrics import Metrics


def run(step: Callable[[], bool], until: threading.Event, metrics: Metrics, idle_s: float) -> Lane:
    lane = Lane("part", step, metrics, idle_s=idle_s)
    lane.start()
    assert until.wait(60)
    lane.tell()
    lane.join()
    return lane


@pytest.mark.parametrize("error", [RuntimeError("Planted^Name"), ArchiveAwayError()])
def test_a_step_that_fails_does_not_end_the_lane(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lanes, "PAUSE_AFTER_FAULT_S", 0.01)
    steps, done, metrics = [0], threading.Event(), Metrics()

    def step() -> bool:
        steps[0] += 1
        if steps[0] < 3:
            raise error
        done.set()
        return False

    run(step, done, metrics, 0.01)
    faults = metrics.registry.get_sample_value("medxgan_gateway_faults_total", {"part": "part"})
    assert faults == (2 if isinstance(error, RuntimeError) else None)
    assert "Planted" not in caplog.text


def test_a_lane_that_has_nothing_to_do_is_woken() -> None:
    began, woken = threading.Event(), threading.Event()

    def step() -> bool:
        (woken if began.is_set() else began).set()
        return False

    lane = Lane("part", step, Metrics(), idle_s=3600)
    lane.start()
    assert began.wait(60)
    lane.wake()
    assert woken.wait(60)
    lane.tell()
    lane.join()


def test_a_lane_goes_on_at_once_while_there_is_something_to_do() -> None:
    left, done = [100], threading.Event()

    def step() -> bool:
        left[0] -= 1
        if left[0] == 0:
            done.set()
        return left[0] > 0

    run(step, done, Metrics(), 3600)
    assert left == [0]
