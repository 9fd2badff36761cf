"""What models have done is counted as Triton counts it, and told under Triton's names."""

import asyncio
import re
import shutil
import subprocess
import time

import pytest
from prometheus_client import generate_latest

from medxgan.server.errors import BusyError, InvalidRequestError, TimedOutError, UnknownModelError
from medxgan.server.stopwatch import Phase
from medxgan.server.telemetry.metrics import Metrics
from medxgan.server.telemetry.statistics import Statistics
from medxgan.server.telemetry.triton_figures import triton_figures

CHEST = ("chest", "4")
RESIDUAL = ("chest.residual", "4")


def figures(statistics: Statistics) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by name and by the values of the labels."""
    # Not by the parser of Prometheus' library, which gives every counter the suffix `_total`.
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for line in triton_figures(statistics).splitlines():
        if sample := re.fullmatch(r"nv_inference_(\w+){(.+)} (\d+)", line):
            found.setdefault(sample[1], {})[tuple(re.findall(r'="([^"]*)"', sample[2]))] = float(sample[3])
        else:
            assert line.startswith("# "), line
    return found


@pytest.fixture
def busy() -> Statistics:
    """One success: waiting took 1000 s, opening 1000, inverting 1000, and the maps 4000, of these 1000 for the answer:
    so long that it is nothing what the machine takes between two lines."""
    statistics = Statistics()
    with statistics.counted(CHEST) as course:
        began = time.perf_counter()
        for after, phase in enumerate((Phase.PREPROCESS, Phase.INVERSION, Phase.MAPS), start=1):
            course.stopwatch.switch(phase, at=began + 1000 * after)
        course.stopwatch.switch(Phase.QUEUED, at=began + 7000)
        course.made(output_seconds=1000.0)
    return statistics


def test_the_parts_of_a_success_go_where_triton_has_them(busy: Statistics) -> None:
    counts = busy.of(CHEST)
    assert counts.queue.seconds == pytest.approx(1000, rel=0.01)
    assert counts.compute_input.seconds == pytest.approx(1000, rel=0.01)
    assert counts.compute_infer.seconds == pytest.approx(4000, rel=0.01), "inversion 1000, maps 4000, output 1000"
    assert counts.compute_output.seconds == pytest.approx(1000, rel=0.01)
    assert counts.success.count == counts.queue.count == counts.compute_output.count == 1
    assert counts.last == pytest.approx(time.time(), abs=60)


def test_time_after_the_answer_was_made_is_of_the_request_and_not_of_its_compute() -> None:
    """A caller who is slow to read the progress makes no compute."""
    statistics = Statistics()
    with statistics.counted(CHEST) as course:
        began = time.perf_counter()
        course.stopwatch.switch(Phase.MAPS, at=began)
        course.made(output_seconds=0.0)
        course.stopwatch.switch(Phase.MAPS, at=began + 1000)
    counts = statistics.of(CHEST)
    assert counts.compute_infer.seconds < 100
    assert counts.success.seconds >= counts.compute_infer.seconds


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BusyError("full", 1.0), "REJECTED"),
        (TimedOutError("late"), "REJECTED"),
        (asyncio.CancelledError(), "CANCELED"),
        (ZeroDivisionError(), "BACKEND"),
        (InvalidRequestError("image", "expected one"), "OTHER"),
    ],
)
def test_a_failure_counts_as_one_by_its_reason_and_as_nothing_else(error: BaseException, reason: str) -> None:
    statistics = Statistics()
    with pytest.raises(type(error)), statistics.counted(CHEST):
        raise error
    told = figures(statistics)
    assert told["request_failure"] == {
        (*CHEST, each): float(each == reason) for each in ("REJECTED", "CANCELED", "BACKEND", "OTHER")
    }
    assert {value for name in told if "duration" in name for value in told[name].values()} == {0}
    assert told["request_success"] == told["count"] == told["exec_count"] == {CHEST: 0}


def test_what_never_named_a_model_is_counted_for_none() -> None:
    statistics = Statistics()
    with pytest.raises(UnknownModelError), statistics.counted():
        raise UnknownModelError("no model x is served")
    assert statistics.all() == []
    with statistics.counted() as course:
        course.model = RESIDUAL
    assert [model for model, _ in statistics.all()] == [RESIDUAL]


def test_requests_wait_until_their_compute_begins() -> None:
    statistics = Statistics()
    with statistics.counted(CHEST) as first, statistics.counted(CHEST) as second, statistics.counted() as unknown:
        assert figures(statistics).get("pending_request_count") is None, "of a model that nothing is known of yet"
        statistics.know(CHEST)
        assert figures(statistics)["pending_request_count"] == {CHEST: 2}
        first.stopwatch.switch(Phase.PREPROCESS)
        assert figures(statistics)["pending_request_count"] == {CHEST: 1}
        first.stopwatch.switch(Phase.QUEUED)
        first.stopwatch.milliseconds()
        second.stopwatch.is_waiting = False
        second.stopwatch.milliseconds()
        assert figures(statistics)["pending_request_count"] == {CHEST: 1}
        unknown.model = RESIDUAL
    assert set(figures(statistics)["pending_request_count"].values()) == {0}


def test_the_names_labels_and_kinds_are_tritons(busy: Statistics) -> None:
    told = figures(busy)
    assert told["request_success"] == told["count"] == told["exec_count"] == {CHEST: 1}
    assert told["queue_duration_us"] == {CHEST: pytest.approx(1e9, rel=0.01)}
    assert told["compute_infer_duration_us"] == {CHEST: pytest.approx(4e9, rel=0.01)}
    assert told.keys() == {
        "request_success",
        "request_failure",
        "count",
        "exec_count",
        "request_duration_us",
        "queue_duration_us",
        "compute_input_duration_us",
        "compute_infer_duration_us",
        "compute_output_duration_us",
        "pending_request_count",
    }
    text = triton_figures(busy)
    kinds = dict(re.findall(r"^# TYPE nv_inference_(\w+) (\w+)$", text, re.MULTILINE))
    assert {name for name, kind in kinds.items() if kind == "gauge"} == {"pending_request_count"}
    assert set(kinds.values()) == {"counter", "gauge"}
    assert 'nv_inference_request_success{model="chest",version="4"} 1\n' in text
    assert 'nv_inference_request_failure{model="chest",version="4",reason="REJECTED"} 0\n' in text


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool, of Debian's package prometheus, is not installed"
)
def test_prometheus_takes_all_figures(busy: Statistics) -> None:
    metrics = Metrics()
    metrics.ended("Explain", "OK", 1.0)
    text = generate_latest(metrics.registry).decode() + triton_figures(busy)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    # Nothing but the style of names, of those that are Triton's.
    disliked = r"nv_inference_\w+ .*(\"_total\" suffix|\"_count\" suffix|abbreviated units)"
    assert [line for line in done.stderr.splitlines() if not re.fullmatch(disliked, line)] == []
    assert done.returncode == 3, "promtool's status where it dislikes a name, and not where it can't read one"
