import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from medxgan.client import (
    Client,
    Explanation,
    InversionSettings,
    MapForm,
    MapKind,
    Settings,
    Unrecognised,
    VerdictReasonCode,
    VerdictStatus,
)
from medxgan.client.pictures.animation import write_animation
from medxgan.client.pictures.appearance import APPEARANCES, PICTURES
from medxgan.client.pictures.attribution_panel import write_attribution_panel, write_comparison
from medxgan.client.pictures.files import remove_own_files, write_pictures
from medxgan.client.pictures.panel import write_panel
from medxgan.client.pictures.positive_panel import positive_sentence, write_positive_panel
from medxgan.client.pictures.report import write_report
from medxgan.client.results import Verdict, VerdictReason

DRAWN = [kind for kind in MapKind if kind not in PICTURES]
"""The maps that are drawn in colours with a scale."""


@pytest.fixture
def explanation(service, grey) -> Explanation:
    with Client(service.address) as client:
        return client.explain(grey)


@pytest.fixture
def whole(service, grey) -> Explanation:
    """An explanation of a negative image with all that can be asked for."""
    service.answer.scores.original.probability, service.answer.scores.original.positive = 0.2, False
    settings = Settings(inversion=InversionSettings(restarts=4))
    with Client(service.address) as client:
        return client.explain(grey, settings=settings, maps=list(MapKind), trajectory=5)


def changed(explanation: Explanation, kind: MapKind, values: np.ndarray) -> Explanation:
    """The explanation with other values of one map."""
    entry = replace(explanation.maps[kind], values=values.astype(np.float32))
    return replace(explanation, maps={**explanation.maps, kind: entry})


def report_of(explanation: Explanation, folder: Path, **options: Any) -> dict[str, Any]:
    """Write pictures and report; gives the report as it is read back."""
    files = write_pictures(explanation, folder)
    write_report(explanation, files, folder / "explanation.json", image=b"film", **options)
    return json.loads((folder / "explanation.json").read_text())


def test_a_number_that_is_none_is_null(service, grey, tmp_path: Path) -> None:
    service.answer.scores.original.probability = float("nan")
    service.answer.scores.reconstruction.probability = float("inf")
    with Client(service.address) as client:
        report = report_of(client.explain(grey), tmp_path)
    assert "NaN" not in (tmp_path / "explanation.json").read_text()
    assert report["scores"]["original"]["probability"] is None
    assert report["scores"]["reconstruction"]["probability"] is None


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(np.float32)


def test_files_hold_the_maps_to_half_a_level(whole, tmp_path: Path) -> None:
    report = report_of(whole, tmp_path)
    for kind in MapKind:
        file = report["maps"][kind]
        level = (file["high"] - file["low"]) / 255
        levels = read(tmp_path / file["file"])
        np.testing.assert_allclose(levels * level + file["low"], whole[kind], atol=level / 2 + 1e-6)
        assert np.ptp(levels) > 100, "the levels in use are not a few of 256"
    scales = {kind: (report["maps"][kind]["low"], report["maps"][kind]["high"]) for kind in MapKind}
    assert scales[MapKind.ORIGINAL] == (-1, 1)
    assert scales[MapKind.DIFFERENCE] == (-2, 2)
    assert scales[MapKind.COLORIZED] == (0, 1)
    assert scales[MapKind.UNCERTAINTY][0] == 0
    assert -scales[MapKind.RESIDUAL][0] == scales[MapKind.RESIDUAL][1] == np.abs(whole[MapKind.RESIDUAL]).max()


def test_a_positive_image_has_no_positive_picture_of_its_own(whole, tmp_path: Path) -> None:
    original = replace(whole.scores.original, positive=True)
    files = write_pictures(replace(whole, scores=replace(whole.scores, original=original)), tmp_path)
    assert set(files) == set(MapKind) - {MapKind.POSITIVE_REALIZATION}
    assert not (tmp_path / "positive.png").exists()


def test_no_two_maps_have_the_same_file_and_all_are_removed_again(whole, tmp_path: Path) -> None:
    files = write_pictures(whole, tmp_path, film_size=True)
    assert len(list(tmp_path.iterdir())) == 2 * len(files) == 2 * len(MapKind)
    (tmp_path / "my.png").touch()
    remove_own_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["my.png"]
    remove_own_files(tmp_path / "nowhere")


def test_a_file_of_the_films_size_shows_where_the_map_lies(explanation, tmp_path: Path) -> None:
    half = np.zeros((16, 16))
    half[:, 8:] = 2
    write_pictures(changed(explanation, MapKind.DIFFERENCE, half), tmp_path, film_size=True)
    film = read(tmp_path / "difference-film.png")
    # The box of the fake film is columns 5 to 45 of 50.
    assert film.shape == (40, 50, 2)
    np.testing.assert_array_equal(film[:, 5:23, 0], 128)
    np.testing.assert_array_equal(film[:, 27:45, 0], 255)
    np.testing.assert_array_equal(film[0, :, 1], [0] * 5 + [255] * 40 + [0] * 5)


def test_maps_that_came_as_png_are_written_the_same(service, grey, tmp_path: Path) -> None:
    kinds = [MapKind.ORIGINAL, MapKind.DIFFERENCE, MapKind.COLORIZED]
    with Client(service.address) as client:
        as_tensor, as_png = (client.explain(grey, maps=kinds, form=form) for form in MapForm)
    for explanation, name in ((as_tensor, "tensor"), (as_png, "png")):
        (tmp_path / name).mkdir()
        write_pictures(explanation, tmp_path / name)
    for file in ("original.png", "difference.png", "colorized.png"):
        np.testing.assert_array_equal(read(tmp_path / "tensor" / file), read(tmp_path / "png" / file))


def test_the_report_holds_everything_but_pixels(explanation, tmp_path: Path) -> None:
    report = report_of(explanation, tmp_path, image_name="film.dcm")
    maps = report.pop("maps")
    assert list(maps) == ["original", "reconstruction", "negative_realization", "difference", "colorized"]
    assert maps["difference"] == {
        "kind": "difference",
        "range": {"minimum": -2.0, "maximum": 2.0},
        "completeness": None,
        "elapsed_ms": 0.6,
        "file": "difference.png",
        "low": -2.0,
        "high": 2.0,
        "film_file": "",
    }
    assert report == {
        "image": {
            "name": "film.dcm",
            "sha256": "d0607f7ad2628b2af9158dfba06ce87166e66b15bf68f8f358f9aa27ccb7c321",
        },
        "model": {"name": "chest", "version": "2", "bundle_sha256": "ab" * 32},
        "execution": {
            "engine": "onnxruntime",
            "provider": "CPUExecutionProvider",
            "requested": "auto",
            "fallback": False,
            "fallback_reason": "",
        },
        "settings": {
            "target_class": "pneumonia",
            "seed": 0,
            "inversion": {
                "steps": 200,
                "learning_rate": 0.05,
                "reconstruction_weight": 4.0,
                "restarts": 1,
                "solver": None,
            },
            "integrated_gradients": None,
            "occlusion": None,
        },
        "scores": {
            "original": {"probability": 0.9, "positive": True},
            "reconstruction": {"probability": 0.8, "positive": True},
            "negative_realization": {"probability": 0.1, "positive": False},
            "applied_negative": {"probability": 0.6, "positive": True},
            "positive_realization": None,
            "decision_threshold": 0.5,
        },
        "verdict": {"status": "reliable", "reasons": []},
        "image_checks": [{"name": "feature_distance", "measured": 1.5, "maximum": 4.0, "passed": True}],
        "outcome": {
            "steps_taken": 160,
            "converged": True,
            "reconstruction_mse": 0.01,
            "classification_loss": 0.3,
            "restart": 0,
            "difference_spread": None,
        },
        "positive_outcome": None,
        "target": None,
        "trajectory": [],
        "geometry": {
            "rows": 40,
            "columns": 50,
            "orientation": "as_stored",
            "box": {"top": 0.0, "left": 5.0, "bottom": 40.0, "right": 45.0},
            "pixel_spacing": {"row_mm": 0.2, "column_mm": 0.2},
            "pixel_aspect": 1.0,
            "frame": 0,
        },
        "timing": {
            "queued_ms": 1.0,
            "preprocess_ms": 2.0,
            "inversion_ms": 30.0,
            "positive_realization_ms": 5.0,
            "maps_ms": 4.0,
            "total_ms": 42.0,
        },
        "notes": ["colour was converted to grey"],
    }


def test_the_report_holds_what_was_asked_for_beyond_that(whole, tmp_path: Path) -> None:
    report = report_of(whole, tmp_path)
    assert report["positive_outcome"] == {"found": True, "steps_taken": 12, "scale": 0.75, "change_mse": 0.02}
    assert report["scores"]["positive_realization"] == {"probability": 0.7, "positive": True}
    assert report["outcome"]["difference_spread"] == 0.025
    assert report["trajectory"][1] == {"position": 0.25, "score": {"probability": 0.25, "positive": False}}
    assert report["target"] == {"class_name": "pneumonia", "logit": 2.5}
    assert report["maps"]["integrated_gradients"]["completeness"] == {"attributed": 3.1, "change": 3.2, "error": 0.1}
    assert report["settings"]["occlusion"] == {"window": 2, "stride": 1, "level": -1.0}


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


@pytest.mark.slow
def test_the_panel_of_many_maps_has_two_rows_of_four(whole, tmp_path: Path) -> None:
    certain = {kind: entry for kind, entry in whole.maps.items() if kind is not MapKind.UNCERTAINTY}
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
    write_panel(
        changed(whole, MapKind.DIFFERENCE, whole.difference * 1e-6), tmp_path / "panel.png", positive_class="pneumonia"
    )
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
    np.testing.assert_allclose(drawn[centres], (whole[MapKind.POSITIVE_REALIZATION][size // 2] + 1) * 127.5, atol=2)

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

    def said(**other: object) -> str:
        return positive_sentence(replace(whole, positive_outcome=replace(outcome, **other)))

    assert said() == "A positive realization was found in 12 steps; it scores 0.700."
    assert "in 1 step;" in said(steps_taken=1)
    assert said(found=False).startswith("No positive realization was found in 12 steps; the nearest attempt scores 0.7")
    assert "nothing needs to change" in said(scale=0.0)


def test_the_animation_goes_to_positive_and_back_with_the_pictures_as_they_are(whole, tmp_path: Path) -> None:
    write_animation(whole.trajectory, whole.scores.decision_threshold, tmp_path / "trajectory.gif")
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
    write_animation(
        (whole.trajectory[0], whole.trajectory[-1]), whole.scores.decision_threshold, tmp_path / "trajectory.gif"
    )
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


@pytest.mark.slow
def test_the_verdict_changes_the_panel_and_no_difference_at_all_is_drawn(explanation, tmp_path: Path) -> None:
    flat = changed(explanation, MapKind.DIFFERENCE, np.zeros((16, 16)))
    panels = []
    for status in (*VerdictStatus, Unrecognised(9)):
        write_panel(replace(flat, verdict=Verdict(status, ())), tmp_path / "panel.png", positive_class="pneumonia")
        panels.append(read(tmp_path / "panel.png"))
    assert not any(np.array_equal(one, other) for one, other in pairwise(panels))


@pytest.mark.slow
@pytest.mark.parametrize("kind", DRAWN)
def test_a_map_has_a_panel_of_its_own(whole, kind, tmp_path: Path) -> None:
    write_attribution_panel(whole, kind, tmp_path / "panel.png")
    assert read(tmp_path / "panel.png").shape[1] == 2000


def strips(sheet: np.ndarray, columns: int) -> list[np.ndarray]:
    """The columns of a sheet in which its pictures stand, [H, side, 3] each."""
    side = (10 - 2 * 0.3 - (columns - 1) * 0.16) / columns * 200
    return [sheet[:, round(60 + at * (side + 32)) : round(60 + at * (side + 32) + side)] for at in range(columns)]


def test_a_signed_map_is_red_and_blue_and_grad_cam_begins_with_black(whole, tmp_path: Path) -> None:
    ramp = np.linspace(-1, 1, 16 * 16, dtype=np.float32).reshape(16, 16)
    darkest = []
    for kind, values in ((MapKind.OCCLUSION, ramp), (MapKind.GRAD_CAM, np.maximum(ramp, 0))):
        write_attribution_panel(changed(whole, kind, values), kind, tmp_path / "panel.png")
        _, map_strip, _ = strips(read(tmp_path / "panel.png"), 3)
        top = squares(read(tmp_path / "panel.png"), 3)[1][0]
        pixels = map_strip[top : top + map_strip.shape[1], :, :3]
        darkest.append(pixels.sum(axis=2).min())
        assert (pixels[..., 0] > pixels[..., 2] + 60).any()
        # Blue for what is below zero, where there is such a thing.
        assert (pixels[..., 2] > pixels[..., 0] + 60).any() == (kind is MapKind.OCCLUSION)
    assert darkest[1] < 20 < darkest[0]


@pytest.mark.slow
def test_a_comparison_holds_every_map_and_grows_with_what_is_to_be_said(whole, tmp_path: Path) -> None:
    write_comparison(whole, DRAWN, tmp_path / "comparison.png")
    sheet = read(tmp_path / "comparison.png")
    assert sheet.shape[1] == 2000
    # Eleven maps and the original, in rows of four: squares without a white line.
    assert [len(tops) for tops in squares(sheet, 4)] == [3, 3, 3, 3]

    reason = VerdictReason(VerdictReasonCode.NEGATIVE_IS_POSITIVE, 0.6, 0.5, "It is not negative.")
    judged = replace(whole, verdict=Verdict(VerdictStatus.NOT_RELIABLE, (reason,)))
    write_comparison(judged, DRAWN, tmp_path / "comparison.png")
    assert read(tmp_path / "comparison.png").shape[0] > sheet.shape[0]


@pytest.mark.slow
def test_a_comparison_of_few_maps_without_an_inversion(service, grey, tmp_path: Path) -> None:
    with Client(service.address) as client:
        for kinds in ([MapKind.GRAD_CAM], [MapKind.GRADIENT, MapKind.OCCLUSION]):
            explanation = client.explain(grey, maps=[MapKind.ORIGINAL, *kinds])
            write_comparison(explanation, kinds, tmp_path / "comparison.png")
            assert read(tmp_path / "comparison.png").shape[1] == 2000


def test_every_map_that_is_no_picture_has_an_appearance() -> None:
    assert list(APPEARANCES) == DRAWN


def test_a_notebook_shows_an_explanation_by_its_panel(explanation: Explanation, tmp_path: Path) -> None:
    """By the protocol of IPython, which asks an object for `_repr_png_`."""
    write_panel(explanation, tmp_path / "panel.png", positive_class="pneumonia")
    assert explanation._repr_png_() == (tmp_path / "panel.png").read_bytes()
