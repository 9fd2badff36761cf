"""`medxgan explain` and `medxgan models` as a person calls them: the embedded server, its engine and a real bundle."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from medxgan.client.command import app
from medxgan.client.commands.methods import Method

PICTURES = (
    "original.png",
    "reconstruction.png",
    "negative.png",
    "difference.png",
    "colorized.png",
    "applied-negative.png",
    "residual.png",
)
METHODS = [method.value for method in Method if method not in (Method.MEDXGAN, Method.ALL)]

pytestmark = pytest.mark.usefixtures("plain_terminal")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    levels = np.random.default_rng(3).integers(0, 60000, (40, 50)).astype(np.uint16)
    path = tmp_path / "film.png"
    Image.fromarray(levels).save(path)
    return path


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def models(tiny_bundle: Path) -> Path:
    return tiny_bundle.parents[1]


def test_an_image_is_explained_by_an_embedded_server_twice_alike(film, models) -> None:
    for out in ("first", "second"):
        result = run("explain", film, "--models", models, "--provider", "cpu", "--seed", 5, "--steps", 20, "--out", out)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.splitlines()[-1] == str(Path(out) / "panel.png")

    first, second = (json.loads(Path(out, "explanation.json").read_text()) for out in ("first", "second"))
    assert (first["model"]["name"], first["seed"], first["settings"]["steps"]) == ("tiny", 5, 20)
    assert first["execution"]["provider"] == "CPUExecutionProvider"
    assert first["outcome"]["steps_taken"] <= 20
    assert first["scores"] == second["scores"]
    for name in PICTURES:
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes()
    with Image.open("first/original.png") as original:
        assert len(set(original.tobytes())) > 50


def test_restarts_and_frames_are_written_twice_alike(film, models) -> None:
    options = ["--restarts", 3, "--frames", 4, "--steps", 20]
    for out in ("first", "second"):
        result = run("explain", film, "--models", models, "--provider", "cpu", "--out", out, *options)
        assert result.exit_code == 0, result.stderr
    report = json.loads(Path("first/explanation.json").read_text())
    assert report["settings"]["restarts"] == 3
    assert report["outcome"]["difference_spread"] > 0
    assert len(report["trajectory"]) == 4
    assert report["trajectory"][0]["score"] == report["scores"]["negative_realization"]
    assert report["trajectory"][-1]["score"] == report["scores"]["positive_realization"]
    for name in (*PICTURES, "uncertainty.png", "trajectory.gif"):
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes()
    with Image.open("first/uncertainty.png") as uncertainty:
        levels = np.asarray(uncertainty) / 255 * report["largest_magnitude"]["uncertainty"]
    half_a_level = report["largest_magnitude"]["uncertainty"] / 510
    assert levels.mean() == pytest.approx(report["outcome"]["difference_spread"], abs=half_a_level)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["--restarts", 17], "inversion.restarts"),
        (["--restarts", 0], "inversion.restarts"),
        (["--frames", 1], "frames"),
    ],
)
def test_restarts_and_frames_out_of_range_name_their_field(film, models, options, field: str) -> None:
    result = run("explain", film, "--models", models, "--provider", "cpu", *options)
    assert result.exit_code == 1
    assert f"{field}: " in result.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize("method", METHODS)
def test_the_score_is_attributed(film, models, method: str) -> None:
    result = run("explain", film, "--models", models, "--provider", "cpu", "--method", method)
    assert result.exit_code == 0, result.stderr
    assert "of lesion" in result.stdout
    report = json.loads(Path("out/explanation.json").read_text())
    assert report["methods"] == [method.replace("-", "_")]
    assert report["largest_magnitude"][method.replace("-", "_")] > 0
    with Image.open("out/original.png") as original, Image.open("out/attribution.png") as attribution:
        assert original.size == attribution.size
        assert len(set(attribution.tobytes())) > 1


def test_all_methods_are_compared(film, models) -> None:
    options = ["--path-steps", 5, "--window", 8, "--steps", 10]
    result = run("explain", film, "--models", models, "--provider", "cpu", "--method", "all", *options)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in Path("out").iterdir()} == {
        "original.png",
        "comparison.png",
        "explanation.json",
        *(f"{method}.png" for method in METHODS),
    }
    report = json.loads(Path("out/explanation.json").read_text())
    assert report["integrated_gradients"] == {"steps": 5, "baseline": -1.0}
    assert (report["occlusion"]["window"], report["inversion"]["steps"]) == (8, 10)
    assert report["verdict"]["status"] in {"reliable", "not_reliable", "not_applicable"}


def test_a_bundle_without_a_generator_is_attributed_and_says_so_where_it_can_not(film, plain_models: Path) -> None:
    common = ["explain", film, "--models", plain_models, "--provider", "cpu"]
    refused = run(*common)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"error: {film}: model: plain/1 has no generator")
    assert not Path("out").exists()

    refused = run(*common, "--method", "residual-map")
    assert refused.exit_code == 1
    assert "needs a generator, which plain/1 does not have" in refused.stderr

    compared = run(*common, "--method", "all")
    assert compared.exit_code == 0, compared.stderr
    assert not Path("out/difference-map.png").exists()
    assert Path("out/integrated-gradients.png").exists()
    assert json.loads(Path("out/explanation.json").read_text())["verdict"] is None


def test_a_parameter_out_of_range_names_its_field(film, models) -> None:
    common = ["explain", film, "--models", models, "--provider", "cpu", "--method", "all"]
    for option, value, field in (
        ("--path-steps", 1001, "integrated_gradients.steps"),
        ("--baseline", 2, "integrated_gradients.baseline"),
        ("--window", 33, "occlusion.window"),
        ("--target", 5, "target"),
    ):
        result = run(*common, option, value)
        assert result.exit_code == 1
        assert f"{field}: " in result.stderr


def test_models_are_listed(models) -> None:
    result = run("models", "--models", models, "--provider", "cpu")
    assert result.exit_code == 0, result.stderr
    for text in ("tiny 1", "untrained test pattern", "no lesion", "CPUExecutionProvider"):
        assert text in result.stdout


def test_one_bad_image_of_two_names_its_field(film, models, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.png"
    truncated.write_bytes(film.read_bytes()[:200])
    result = run("explain", truncated, film, "--models", models, "--provider", "cpu", "--steps", 10)
    assert result.exit_code == 1
    assert f"error: {truncated}: image.encoded: " in result.stderr
    assert Path("out/film/panel.png").exists()
    assert not Path("out/truncated").exists()


def test_a_setting_out_of_the_bundles_range_names_its_field(film, models) -> None:
    result = run("explain", film, "--models", models, "--provider", "cpu", "--steps", 9000)
    assert result.exit_code == 1
    assert "inversion.steps: " in result.stderr


def test_an_unknown_model_is_named(film, models) -> None:
    result = run("explain", film, "--models", models, "--provider", "cpu", "--model", "brain")
    assert result.exit_code == 1
    assert "brain" in result.stderr
    assert not Path("out").exists()


def test_a_bundle_that_was_changed_is_refused_in_a_sentence(film, tiny_bundle: Path) -> None:
    changed = shutil.copytree(tiny_bundle, Path("models/tiny/1"))
    with (changed / "generator.onnx").open("ab") as graph:
        graph.write(b"x")
    result = run("explain", film, "--provider", "cpu")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: the embedded server can't start: ")
    assert "generator.onnx" in result.stderr
