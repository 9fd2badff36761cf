"""The files of the maps, the report of an explanation, and the animation."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence
from tests.client.drawn import changed, read

from medxgan.client import (
    Client,
    Explanation,
    MapForm,
    MapKind,
)
from medxgan.client.pictures.animation import write_animation
from medxgan.client.pictures.files import remove_own_files, write_pictures
from medxgan.client.pictures.report import write_report


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
