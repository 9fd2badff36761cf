import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medxgan.client import AttributionMethod, Client, Explanation, VerdictReasonCode, VerdictStatus
from medxgan.client.panel import write_attribution_panel, write_panel
from medxgan.client.pictures import write_attribution_pictures, write_pictures
from medxgan.client.report import write_attribution_report, write_report
from medxgan.client.results import Attribution, Verdict, VerdictReason


@pytest.fixture
def explanation(service, grey) -> Explanation:
    with Client(service.address) as client:
        return client.explain(grey)


@pytest.fixture
def attribution(service, grey) -> Attribution:
    with Client(service.address) as client:
        return client.attribute(grey)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(np.float32)


def test_pictures_hold_the_maps_to_half_a_level(explanation, tmp_path: Path) -> None:
    write_pictures(explanation, tmp_path)
    expected = {
        "original.png": (explanation.original, -1, 1),
        "reconstruction.png": (explanation.reconstruction, -1, 1),
        "negative.png": (explanation.negative_realization, -1, 1),
        "difference.png": (explanation.difference, -2, 2),
        "colorized.png": (explanation.colorized, 0, 1),
    }
    assert {path.name for path in tmp_path.iterdir()} == set(expected)
    for name, (values, low, high) in expected.items():
        level = (high - low) / 255
        np.testing.assert_allclose(read(tmp_path / name) * level + low, values, atol=level / 2 + 1e-6)


def test_an_attribution_is_read_back_with_the_reports_magnitude(attribution, tmp_path: Path) -> None:
    method = AttributionMethod.GUIDED_BACKPROPAGATION
    write_attribution_pictures(attribution, method, tmp_path)
    write_attribution_report(attribution, method, tmp_path / "explanation.json")
    report = json.loads((tmp_path / "explanation.json").read_text())
    magnitude = report["largest_magnitude"]
    levels = read(tmp_path / "attribution.png")
    np.testing.assert_allclose(
        levels / 127.5 * magnitude - magnitude, attribution.values[method], atol=magnitude / 255 + 1e-6
    )
    assert (report["method"], report["logit"]) == ("guided_backpropagation", 2.5)


def test_the_report_holds_everything_but_pixels(explanation, tmp_path: Path) -> None:
    write_report(explanation, tmp_path / "explanation.json")
    report = json.loads((tmp_path / "explanation.json").read_text())
    assert report == {
        "method": "medxgan",
        "model": {"name": "chest", "version": "2", "bundle_sha256": "ab" * 32},
        "execution": {
            "engine": "onnxruntime",
            "provider": "CPUExecutionProvider",
            "requested": "auto",
            "fallback": False,
            "fallback_reason": "",
        },
        "settings": {"steps": 200, "learning_rate": 0.05, "reconstruction_weight": 4.0},
        "seed": 0,
        "scores": {
            "original": 0.9,
            "reconstruction": 0.8,
            "negative_realization": 0.1,
            "decision_threshold": 0.5,
        },
        "verdict": {"status": "reliable", "reasons": []},
        "outcome": {
            "steps_taken": 160,
            "converged": True,
            "reconstruction_mse": 0.01,
            "classification_loss": 0.3,
        },
        "timing": {"queued_ms": 1.0, "preprocess_ms": 2.0, "inversion_ms": 30.0, "maps_ms": 4.0, "total_ms": 37.0},
        "notes": ["colour was converted to grey"],
    }


def test_the_panel_shows_each_picture_nearest_pixel_for_pixel(explanation, tmp_path: Path) -> None:
    write_panel(explanation, tmp_path / "panel.png", positive_class="pneumonia")
    panel = read(tmp_path / "panel.png")
    assert panel.shape[1] == 2000

    # Five columns of 351.2 pixels, 32 apart, from 60 on: the middle row of each picture, by its columns' centres.
    side = (10 - 2 * 0.3 - 4 * 0.16) / 5 * 200
    size = explanation.original.shape[0]
    centres = ((np.arange(size) + 0.5) * side / size).astype(int)
    grey_maps = (explanation.original, explanation.reconstruction, explanation.negative_realization)
    for column, values in enumerate(grey_maps):
        strip = panel[:, (60 + column * (side + 32) + centres).astype(int), 0]
        wanted = (values[size // 2] + 1) * 127.5
        assert np.abs(strip - wanted).max(axis=1).min() < 2


def test_each_reason_is_on_the_panel_and_odd_text_does_no_harm(explanation, tmp_path: Path) -> None:
    sentence = "It costs $5 or $6, \\frac{1} of {it}. " * 9
    reason = VerdictReason(VerdictReasonCode.NEGATIVE_IS_POSITIVE, 0.6, 0.5, sentence)
    heights = []
    for count in (0, 1, 2):
        verdict = Verdict(VerdictStatus.NOT_RELIABLE, (reason,) * count)
        write_panel(replace(explanation, verdict=verdict), tmp_path / "panel.png", positive_class="$\\alpha_")
        heights.append(read(tmp_path / "panel.png").shape[0])
    assert heights[0] < heights[1] < heights[2]


def test_the_verdict_changes_the_panel_and_no_difference_at_all_is_drawn(explanation, tmp_path: Path) -> None:
    flat = {**explanation.maps, "difference": np.zeros_like(explanation.difference)}
    panels = []
    for status in VerdictStatus:
        changed = replace(explanation, verdict=Verdict(status, ()), maps=flat)
        write_panel(changed, tmp_path / "panel.png", positive_class="pneumonia")
        panels.append(read(tmp_path / "panel.png"))
    assert not np.array_equal(panels[0], panels[1])
    assert not np.array_equal(panels[1], panels[2])


@pytest.mark.parametrize("method", AttributionMethod)
def test_an_attribution_has_a_panel_of_its_own(attribution, method, tmp_path: Path) -> None:
    write_attribution_panel(attribution, method, tmp_path / "panel.png", positive_class="pneumonia")
    assert read(tmp_path / "panel.png").shape[1] == 2000
