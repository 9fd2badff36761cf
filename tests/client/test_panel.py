import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medxgan.client import AttributionMethod, Client, Explanation, VerdictReasonCode, VerdictStatus
from medxgan.client.appearance import APPEARANCES
from medxgan.client.attribution_panel import write_attribution_panel, write_comparison
from medxgan.client.panel import write_panel
from medxgan.client.pictures import write_attribution_pictures, write_pictures
from medxgan.client.report import write_attribution_report, write_report
from medxgan.client.results import QUICK_METHODS, Attribution, Verdict, VerdictReason


@pytest.fixture
def explanation(service, grey) -> Explanation:
    with Client(service.address) as client:
        return client.explain(grey)


@pytest.fixture
def attribution(service, grey) -> Attribution:
    with Client(service.address) as client:
        return client.attribute(grey, methods=list(AttributionMethod))


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
    files = {method: f"{method.value}.png" for method in AttributionMethod}
    write_attribution_pictures(attribution, files, tmp_path)
    write_attribution_report(attribution, files, tmp_path / "explanation.json")
    report = json.loads((tmp_path / "explanation.json").read_text())
    assert report["methods"] == list(AttributionMethod)
    for method in AttributionMethod:
        magnitude = report["largest_magnitude"][method]
        levels = read(tmp_path / report["files"][method])
        np.testing.assert_allclose(
            levels / 127.5 * magnitude - magnitude, attribution.values[method], atol=magnitude / 255 + 1e-6
        )
        assert report["elapsed_ms"][method] == attribution.elapsed_ms[method]
    assert (report["logit"], report["target"], report["target_class"]) == (2.5, 0, "pneumonia")
    assert report["completeness"]["integrated_gradients"] == {"attributed": 3.1, "change": 3.2, "error": 0.1}
    assert report["occlusion"] == {"window": 2, "stride": 1, "level": -1.0}
    assert report["verdict"] == {"status": "reliable", "reasons": []}


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
    write_attribution_panel(attribution, method, tmp_path / "panel.png")
    assert read(tmp_path / "panel.png").shape[1] == 2000


def strips(sheet: np.ndarray, columns: int) -> list[np.ndarray]:
    """The columns of a sheet in which its pictures stand, [H, side, 3] each."""
    side = (10 - 2 * 0.3 - (columns - 1) * 0.16) / columns * 200
    return [sheet[:, round(60 + at * (side + 32)) : round(60 + at * (side + 32) + side)] for at in range(columns)]


def test_a_signed_map_is_red_and_blue_and_grad_cam_begins_with_black(attribution, tmp_path: Path) -> None:
    ramp = np.linspace(-1, 1, 16 * 16, dtype=np.float32).reshape(16, 16)
    darkest = []
    for method, values in ((AttributionMethod.OCCLUSION, ramp), (AttributionMethod.GRAD_CAM, np.maximum(ramp, 0))):
        drawn = replace(attribution, values={method: values})
        write_attribution_panel(drawn, method, tmp_path / "panel.png")
        _, map_strip, _ = strips(read(tmp_path / "panel.png"), 3)
        pixels = map_strip[250:800, :, :3]
        darkest.append(pixels.sum(axis=2).min())
        assert (pixels[..., 0] > pixels[..., 2] + 60).any()
        # Blue for what is below zero, where there is such a thing.
        assert (pixels[..., 2] > pixels[..., 0] + 60).any() == (method is AttributionMethod.OCCLUSION)
    assert darkest[1] < 20 < darkest[0]


def test_a_comparison_holds_every_map_and_grows_with_what_is_to_be_said(attribution, tmp_path: Path) -> None:
    write_comparison(attribution, tmp_path / "comparison.png")
    whole = read(tmp_path / "comparison.png")
    assert whole.shape[1] == 2000
    # Nine methods and the original fill two rows of five: in each column, two squares without a white line.
    for strip in strips(whole, 5):
        inked = (strip[..., :3] < 250).any(axis=2).mean(axis=1) > 0.6
        begins, ends = np.flatnonzero(np.diff(inked.astype(int), prepend=0, append=0)).reshape(-1, 2).T
        squares = [height for height in ends - begins if height > 100]
        assert squares == pytest.approx([strip.shape[1]] * 2, abs=4)

    reason = VerdictReason(VerdictReasonCode.NEGATIVE_IS_POSITIVE, 0.6, 0.5, "It is not negative.")
    judged = replace(attribution, verdict=Verdict(VerdictStatus.NOT_RELIABLE, (reason,)))
    write_comparison(judged, tmp_path / "comparison.png")
    assert read(tmp_path / "comparison.png").shape[0] > whole.shape[0]


def test_a_comparison_of_one_method_and_of_none_with_a_generator(service, grey, tmp_path: Path) -> None:
    with Client(service.address) as client:
        for methods in ([AttributionMethod.GRAD_CAM], QUICK_METHODS):
            write_comparison(client.attribute(grey, methods=methods), tmp_path / "comparison.png")
            assert read(tmp_path / "comparison.png").shape[1] == 2000


def test_every_method_has_an_appearance() -> None:
    assert set(APPEARANCES) == set(AttributionMethod)
