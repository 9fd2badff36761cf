import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from medxgan.client import AttributionMethod, Client, Explanation, MapKind, VerdictReasonCode, VerdictStatus
from medxgan.client.animation import write_animation
from medxgan.client.appearance import APPEARANCES
from medxgan.client.attribution_panel import write_attribution_panel, write_comparison
from medxgan.client.panel import write_panel
from medxgan.client.pictures import FILES, write_attribution_pictures, write_pictures
from medxgan.client.positive_panel import positive_sentence, write_positive_panel
from medxgan.client.report import write_attribution_report, write_report
from medxgan.client.results import QUICK_METHODS, Attribution, Verdict, VerdictReason


@pytest.fixture
def explanation(service, grey) -> Explanation:
    with Client(service.address) as client:
        return client.explain(grey)


@pytest.fixture
def whole(service, grey) -> Explanation:
    """An explanation of a negative image with all that can be asked for."""
    service.answer.scores.original = 0.2
    with Client(service.address) as client:
        return client.explain(grey, restarts=4, maps=list(MapKind), trajectory=5)


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


def test_the_further_maps_are_read_back_with_the_reports_magnitude(whole, tmp_path: Path) -> None:
    write_pictures(whole, tmp_path)
    write_report(whole, tmp_path / "explanation.json")
    report = json.loads((tmp_path / "explanation.json").read_text())
    assert {path.name for path in tmp_path.iterdir()} == {*FILES.values(), "explanation.json"}
    assert set(report["largest_magnitude"]) == {"residual", "uncertainty"}
    residual, uncertainty = report["largest_magnitude"]["residual"], report["largest_magnitude"]["uncertainty"]
    expected = {
        "applied-negative.png": (whole.applied_negative, -1, 1),
        "residual.png": (whole.residual, -residual, residual),
        "uncertainty.png": (whole.uncertainty, 0, uncertainty),
        "positive.png": (whole.positive_realization, -1, 1),
    }
    for name, (values, low, high) in expected.items():
        level = (high - low) / 255
        np.testing.assert_allclose(read(tmp_path / name) * level + low, values, atol=level / 2 + 1e-6)
        assert np.ptp(read(tmp_path / name)) > 100, "the levels in use are not a few of 256"


def test_a_positive_image_has_no_positive_picture_of_its_own(whole, tmp_path: Path) -> None:
    write_pictures(replace(whole, scores=replace(whole.scores, original=0.9)), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES.values()) - {"positive.png"}


def test_every_kind_of_map_has_a_file() -> None:
    assert set(FILES) == set(MapKind)
    assert len(set(FILES.values())) == len(FILES)


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
        "settings": {"steps": 200, "learning_rate": 0.05, "reconstruction_weight": 4.0, "restarts": 1},
        "seed": 0,
        "scores": {
            "original": 0.9,
            "reconstruction": 0.8,
            "negative_realization": 0.1,
            "applied_negative": 0.6,
            "positive_realization": None,
            "decision_threshold": 0.5,
        },
        "verdict": {"status": "reliable", "reasons": []},
        "outcome": {
            "steps_taken": 160,
            "converged": True,
            "reconstruction_mse": 0.01,
            "classification_loss": 0.3,
            "restart": 0,
            "difference_spread": None,
        },
        "positive_outcome": None,
        "timing": {
            "queued_ms": 1.0,
            "preprocess_ms": 2.0,
            "inversion_ms": 30.0,
            "positive_realization_ms": 5.0,
            "maps_ms": 4.0,
            "total_ms": 42.0,
        },
        "notes": ["colour was converted to grey"],
        "trajectory": [],
        "largest_magnitude": {},
    }


def test_the_report_holds_what_was_asked_for_beyond_that(whole, tmp_path: Path) -> None:
    write_report(whole, tmp_path / "explanation.json")
    report = json.loads((tmp_path / "explanation.json").read_text())
    assert report["positive_outcome"] == {"found": True, "steps_taken": 12, "scale": 0.75, "change_mse": 0.02}
    assert (report["scores"]["positive_realization"], report["outcome"]["difference_spread"]) == (0.7, 0.025)
    assert report["trajectory"] == [{"position": value, "score": value} for value in (0.0, 0.25, 0.5, 0.75, 1.0)]


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


def squares(sheet: np.ndarray, columns: int) -> list[list[int]]:
    """The tops of the pictures in each column of a sheet: runs without a white line that are as high as wide."""
    tops = []
    for strip in strips(sheet, columns):
        inked = (strip[..., :3] < 250).any(axis=2).mean(axis=1) > 0.6
        begins, ends = np.flatnonzero(np.diff(inked.astype(int), prepend=0, append=0)).reshape(-1, 2).T
        tops.append([top for top, end in zip(begins, ends, strict=True) if abs(end - top - strip.shape[1]) <= 4])
    return tops


def test_the_panel_of_many_maps_has_two_rows_of_four(whole, tmp_path: Path) -> None:
    certain = {kind: values for kind, values in whole.maps.items() if kind is not MapKind.UNCERTAINTY}
    for maps, pictures in ((whole.maps, [2, 2, 2, 2]), (certain, [2, 2, 2, 1])):
        write_panel(replace(whole, maps=maps), tmp_path / "panel.png", positive_class="pneumonia")
        assert [len(tops) for tops in squares(read(tmp_path / "panel.png"), 4)] == pictures


def test_small_values_are_shown_on_their_own_scale(whole, tmp_path: Path) -> None:
    write_panel(whole, tmp_path / "panel.png", positive_class="pneumonia")
    panel = read(tmp_path / "panel.png")
    columns = strips(panel, 4)
    tops = squares(panel, 4)
    side = columns[0].shape[1]
    residual, uncertainty = (columns[at][tops[at][1] : tops[at][1] + side, :, :3] for at in (2, 3))
    # The residual's strongest value is negative: the darkest blue. The uncertainty goes from black to bright.
    assert residual[..., 2].max() - residual[..., 0].min() > 80
    assert uncertainty.sum(axis=2).min() < 60
    assert uncertainty.sum(axis=2).max() > 500


def test_a_difference_that_nobody_could_see_is_not_drawn_as_strong(whole, tmp_path: Path) -> None:
    faint = {**whole.maps, MapKind.DIFFERENCE: whole.difference * 1e-6}
    write_panel(replace(whole, maps=faint), tmp_path / "panel.png", positive_class="pneumonia")
    panel = read(tmp_path / "panel.png")
    strip, top = strips(panel, 4)[0], squares(panel, 4)[0][1]
    assert np.ptp(strip[top : top + strip.shape[1], :, :3], axis=2).max() < 5


def test_what_would_make_a_negative_image_positive_is_a_panel(whole, tmp_path: Path) -> None:
    path = tmp_path / "positive-panel.png"
    write_positive_panel(whole, path, positive_class="pneumonia")
    found = read(path)
    assert found.shape[1] == 2000
    (top,) = squares(found, 4)[2]
    side, size = strips(found, 4)[2].shape[1], len(whole.original)
    drawn = strips(found, 4)[2][top + round(side / size * (size // 2 + 0.5)), :, 0]
    centres = ((np.arange(size) + 0.5) * side / size).astype(int)
    np.testing.assert_allclose(drawn[centres], (whole.positive_realization[size // 2] + 1) * 127.5, atol=2)

    assert whole.positive_outcome is not None
    failed = replace(whole, positive_outcome=replace(whole.positive_outcome, found=False))
    write_positive_panel(failed, path, positive_class="pneumonia")
    assert not np.array_equal(read(path), found)


def test_no_panel_of_a_positive_realization_that_was_not_asked_for(explanation, tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="was not asked for"):
        write_positive_panel(explanation, tmp_path / "positive-panel.png", positive_class="pneumonia")


def test_a_search_is_told_in_words(whole) -> None:
    outcome = whole.positive_outcome
    assert outcome is not None

    def said(**changed: object) -> str:
        return positive_sentence(replace(whole, positive_outcome=replace(outcome, **changed)))

    assert said() == "A positive realization was found in 12 steps; it scores 0.700."
    assert "in 1 step;" in said(steps_taken=1)
    assert said(found=False).startswith("No positive realization was found in 12 steps; the nearest attempt scores 0.7")
    assert "nothing needs to change" in said(scale=0.0)


def test_the_animation_goes_to_positive_and_back_with_the_pictures_as_they_are(whole, tmp_path: Path) -> None:
    write_animation(whole.trajectory, whole.scores, tmp_path / "trajectory.gif")
    with Image.open(tmp_path / "trajectory.gif") as animation:
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(animation)]
        assert animation.info["loop"] == 0
    # Five pictures of one level each, there and back: 0 1 2 3 4 3 2 1.
    np.testing.assert_allclose([frame[100, 100] for frame in frames], [0, 64, 128, 191, 255, 191, 128, 64], atol=1)
    size = len(whole.original)
    assert frames[0].shape[1] % size == 0
    captions = [frame[frame.shape[1] :] for frame in frames]
    assert np.array_equal(captions[1], captions[-1])
    assert not any(np.array_equal(one, other) for one, other in pairwise(captions[:5]))


def test_an_animation_of_the_two_ends_alone(whole, tmp_path: Path) -> None:
    write_animation((whole.trajectory[0], whole.trajectory[-1]), whole.scores, tmp_path / "trajectory.gif")
    with Image.open(tmp_path / "trajectory.gif") as animation:
        assert animation.n_frames == 2


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
    # Ten methods and the original, in rows of four: squares without a white line, the last row one short.
    assert [len(tops) for tops in squares(whole, 4)] == [3, 3, 3, 2]

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
