"""The coverage curve of records whose every point can be worked out by hand."""

from typing import Any

import pytest

from medxgan.evaluation.coverage import coverage_curve

ERRORS = {"d": 0.4, "a": 0.1, "c": 0.3, "b": 0.2}
"""Of four images of a patient each, not in order."""

FLIPPED = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 0.0}
APPLIED = {"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0}
PRECISION = {"a": 0.8, "b": 0.6, "d": 0.1}
"""The third image has no mask."""


def image(name: str) -> dict[str, Any]:
    figures = {
        "reconstruction_mse": ERRORS[name],
        "label_flips": FLIPPED[name],
        "applied_label_flips": APPLIED[name],
    }
    return {"image": name, "patient": name, "figures": figures}


def method(name: str) -> dict[str, Any]:
    localisation = {"average_precision": PRECISION[name], "pointing_game": 1.0} if name in PRECISION else {}
    return {"image": name, "patient": name, "figures": localisation}


def curve(maximum_mse: float, masks: bool = True) -> dict[str, Any]:
    records = [method(name) if masks else {**method(name), "figures": {}} for name in ERRORS]
    found = coverage_curve(list(map(image, ERRORS)), {"difference": records, "gradient": records}, maximum_mse, 0)
    assert found is not None
    return found


def test_the_images_with_the_smallest_errors_are_kept() -> None:
    points = curve(0.25)["points"]
    assert [point["images"] for point in points] == [1, 2, 3, 4]
    assert [point["coverage"] for point in points] == [0.25, 0.5, 0.75, 1]
    assert [point["largest_mse"] for point in points] == [0.1, 0.2, 0.3, 0.4]
    assert [point["label_flips"]["value"] for point in points] == [1, 1, 1, 0.75]
    assert [point["applied_label_flips"]["value"] for point in points] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])


def test_localisation_is_over_the_kept_images_that_have_a_mask() -> None:
    points = curve(0.25)["points"]
    estimates = [point["maps"]["difference"]["average_precision"] for point in points]
    assert [each["value"] for each in estimates] == pytest.approx([0.8, 0.7, 0.7, 0.5])
    assert [each["images"] for each in estimates] == [1, 2, 2, 3]
    assert points[0]["maps"].keys() == {"difference"}
    assert all(point["maps"] == {} for point in curve(0.25, masks=False)["points"])


def test_the_interval_is_by_patient_and_none_of_one_patient() -> None:
    points = curve(0.25)["points"]
    assert points[0]["applied_label_flips"]["low"] is None
    whole = points[-1]["applied_label_flips"]
    assert whole["low"] < whole["value"] < whole["high"]


@pytest.mark.parametrize(("maximum", "kept"), [(0.05, 0.0), (0.2, 0.5), (0.25, 0.5), (1.0, 1.0)])
def test_the_thresholds_own_coverage_is_among_the_points(maximum: float, kept: float) -> None:
    found = curve(maximum)
    assert found["at_threshold"] == kept
    assert (kept in [point["coverage"] for point in found["points"]]) == (kept > 0)


def test_of_many_images_there_are_ten_points_and_the_threshold() -> None:
    figures = {"label_flips": 1.0, "applied_label_flips": 0.0}
    images = [
        {"image": f"{row:03}", "patient": f"{row}", "figures": figures | {"reconstruction_mse": row / 100}}
        for row in range(70)
    ]
    found = coverage_curve(images, {}, 0.095, 0)
    assert found is not None
    assert [point["images"] for point in found["points"]] == [7, 10, 14, 21, 28, 35, 42, 49, 56, 63, 70]


def test_without_an_inversion_there_is_no_curve() -> None:
    assert coverage_curve([{"image": "a", "patient": "a", "figures": {}}], {}, 0.0, 0) is None
