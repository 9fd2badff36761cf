"""Measured times, kept and interpolated."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from simulation.calibration import Calibration
from simulation.costs import Cost, of_thousand

SHIPPED = sorted((Path(__file__).parents[2] / "benchmarks" / "results").glob("calibration-*.json"))


def test_what_is_written_is_read(calibrated, tmp_path: Path) -> None:
    calibrated().write(tmp_path / "new" / "calibration.json")
    assert Calibration.read(tmp_path / "new" / "calibration.json") == calibrated()


def test_calibrations_are_shipped() -> None:
    assert SHIPPED


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_calibration_names_its_machine(file: Path) -> None:
    assert {"command", "cpu", "cores", "versions"} <= Calibration.read(file).conditions.keys()


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", 0), ("open", -1.0), ("rows", [2, 4, 8]), ("rows", [1, 4, 4]), ("step", [0.01]), ("surplus", 1)],
)
def test_what_is_wrong_in_a_file_is_named(calibrated, tmp_path: Path, field: str, value: object) -> None:
    content = json.loads(calibrated().model_dump_json()) | {field: value}
    (tmp_path / "calibration.json").write_text(json.dumps(content))
    with pytest.raises(ValidationError, match=field):
        Calibration.read(tmp_path / "calibration.json")


def test_between_measured_batches_times_are_interpolated(calibrated) -> None:
    calibration = calibrated(block=(0.1, 0.2, 0.8))
    assert calibration.block_seconds(2, 5) == pytest.approx(0.2 + 5 * 0.02)
    assert calibration.block_seconds(5, 1) == pytest.approx(0.5 + 0.05)


def test_a_batch_larger_than_measured_is_refused(calibrated) -> None:
    with pytest.raises(ValueError, match="at most 8, the largest batch measured, got 9"):
        calibrated().block_seconds(9, 1)


def test_one_explanation_takes_its_parts(calibrated) -> None:
    calibration = calibrated(steps=8, open=1.0, close=2.0, host=4.0, block=(0.5, 0.5, 0.5))
    assert calibration.alone == pytest.approx(7 + 2 * 0.5 + 8 * 0.01)


def test_beyond_what_was_measured_cores_are_shared(calibrated) -> None:
    calibration = calibrated(slowdown=(1.0, 1.1, 1.65))
    assert [calibration.slowed(busy) for busy in (1, 2, 3, 6)] == pytest.approx([1.0, 1.1, 1.65, 3.3])


def test_a_thousand_explanations_cost_their_time_times_the_price() -> None:
    cost = Cost(answered=7200, core_seconds=3600, busy_seconds=1800)
    assert cost.core_seconds_each == 0.5
    assert cost.utilisation == 0.5
    assert of_thousand(cost.core_seconds_each, 0.04) == pytest.approx(1000 / 7200 * 0.04)
