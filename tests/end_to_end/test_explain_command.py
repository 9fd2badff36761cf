"""`medxgan explain` and `medxgan models` as a person calls them: the embedded server, its engine and a real bundle."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from medxgan.client import MapKind
from medxgan.client.command.app import app

PICTURES = (
    "original.png",
    "reconstruction.png",
    "negative.png",
    "difference.png",
    "colorized.png",
    "applied-negative.png",
    "residual.png",
)
FILES = {MapKind.NEGATIVE_REALIZATION: "negative", MapKind.POSITIVE_REALIZATION: "positive"}
"""Of maps whose file has another name than they."""
ATTRIBUTIONS = [kind.value.replace("_", "-") for kind in list(MapKind)[10:]]

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
    assert (first["model"]["name"], first["settings"]["seed"]) == ("tiny", 5)
    assert first["settings"]["inversion"]["steps"] == 20
    assert first["execution"]["provider"] == "CPUExecutionProvider"
    assert first["outcome"]["steps_taken"] <= 20
    assert first["scores"] == second["scores"]
    for name in PICTURES:
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes()
    assert (first["geometry"]["rows"], first["geometry"]["columns"]) == (40, 50)
    with Image.open("first/original.png") as original:
        assert len(set(original.tobytes())) > 50


def test_restarts_and_a_trajectory_are_written_twice_alike(film, models) -> None:
    options = ["--restarts", 3, "--trajectory", 4, "--steps", 20]
    for out in ("first", "second"):
        result = run("explain", film, "--models", models, "--provider", "cpu", "--out", out, *options)
        assert result.exit_code == 0, result.stderr
    report = json.loads(Path("first/explanation.json").read_text())
    assert report["settings"]["inversion"]["restarts"] == 3
    assert report["outcome"]["difference_spread"] > 0
    assert len(report["trajectory"]) == 4
    assert report["trajectory"][0]["score"] == report["scores"]["negative_realization"]
    assert report["trajectory"][-1]["score"] == report["scores"]["positive_realization"]
    for name in (*PICTURES, "uncertainty.png", "trajectory.gif"):
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes()
    written = report["maps"]["uncertainty"]
    with Image.open("first/uncertainty.png") as uncertainty:
        levels = np.asarray(uncertainty) / 255 * (written["high"] - written["low"]) + written["low"]
    half_a_level = (written["high"] - written["low"]) / 510
    assert levels.mean() == pytest.approx(report["outcome"]["difference_spread"], abs=half_a_level)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["--restarts", 17], "settings.inversion.restarts"),
        (["--restarts", 0], "settings.inversion.restarts"),
        (["--trajectory", 1], "trajectory.frames"),
        (["--steps", 9000], "settings.inversion.steps"),
    ],
)
def test_what_is_out_of_range_names_its_field(film, models, options, field: str) -> None:
    result = run("explain", film, "--models", models, "--provider", "cpu", *options)
    assert result.exit_code == 1
    assert f"{field}: " in result.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize("method", ["evidence", *ATTRIBUTIONS])
def test_a_single_map_is_written(film, models, method: str) -> None:
    result = run("explain", film, "--models", models, "--provider", "cpu", "--method", method)
    assert result.exit_code == 0, result.stderr
    assert "lesion" in result.stdout
    report = json.loads(Path("out/explanation.json").read_text())
    assert set(report["maps"]) == {"original", method.replace("-", "_")}
    assert report["maps"][method.replace("-", "_")]["high"] > 0
    with Image.open("out/original.png") as original, Image.open(f"out/{method}.png") as drawn:
        assert original.size == drawn.size
        assert len(set(drawn.tobytes())) > 1


def test_all_maps_come_from_one_request_and_are_compared(film, models) -> None:
    options = ["--path-steps", 5, "--window", 8, "--steps", 10, "--restarts", 2]
    result = run("explain", film, "--models", models, "--provider", "cpu", "--method", "all", *options)
    assert result.exit_code == 0, result.stderr
    report = json.loads(Path("out/explanation.json").read_text())
    assert set(report["maps"]) == set(MapKind)
    kinds = {kind for kind in MapKind if "file" in report["maps"][kind]}
    assert set(MapKind) - kinds <= {MapKind.POSITIVE_REALIZATION}, "of a positive image it is the reconstruction"
    written = {f"{FILES.get(kind, kind.value.replace('_', '-'))}.png" for kind in kinds}
    assert written | {"comparison.png", "panel.png", "explanation.json"} == {
        path.name for path in Path("out").iterdir()
    } - {"positive-panel.png"}
    assert report["settings"]["integrated_gradients"] == {"steps": 5, "baseline": -1.0}
    assert (report["settings"]["occlusion"]["window"], report["settings"]["inversion"]["steps"]) == (8, 10)
    assert report["verdict"]["status"] in {"reliable", "not_reliable", "not_applicable"}


def test_maps_are_also_written_at_the_size_of_the_film(film, models) -> None:
    result = run("explain", film, "--models", models, "--provider", "cpu", "--steps", 5, "--film-size")
    assert result.exit_code == 0, result.stderr
    with Image.open("out/difference-film.png") as laid:
        assert laid.size == (50, 40)
        opacity = np.asarray(laid)[..., -1]
    # The middle 40 of 50 columns were seen.
    np.testing.assert_array_equal(opacity, np.where(np.abs(np.arange(50) - 24.5) < 20, 255, 0)[None].repeat(40, 0))


def test_a_bundle_without_a_generator_gets_its_default_maps_and_says_so_where_it_can_not(
    film, plain_models: Path
) -> None:
    common = ["explain", film, "--models", plain_models, "--provider", "cpu"]
    for method, exit_code in (("residual", 2), ("medxgan", 1)):
        refused = run(*common, "--method", method)
        assert refused.exit_code == exit_code
        assert "plain" in refused.stderr
        assert not Path("out").exists()

    usual = run(*common)
    assert usual.exit_code == 0, usual.stderr
    assert {"grad-cam.png", "comparison.png"} <= {path.name for path in Path("out").iterdir()}

    compared = run(*common, "--method", "all")
    assert compared.exit_code == 0, compared.stderr
    assert not Path("out/difference.png").exists()
    assert Path("out/integrated-gradients.png").exists()
    assert json.loads(Path("out/explanation.json").read_text())["verdict"]["status"] in {
        "not_assessed",
        "not_applicable",
    }


def test_a_parameter_out_of_range_names_its_field(film, models) -> None:
    common = ["explain", film, "--models", models, "--provider", "cpu", "--method", "all"]
    for option, value, field in (
        ("--path-steps", 1001, "settings.integrated_gradients.steps"),
        ("--baseline", 2, "settings.integrated_gradients.baseline"),
        ("--window", 33, "settings.occlusion.window"),
        ("--target", "happiness", "settings.target_class"),
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


def test_an_unknown_model_is_named(film, models) -> None:
    result = run("explain", film, "--models", models, "--provider", "cpu", "--model", "brain")
    assert result.exit_code == 1
    assert "brain" in result.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize("file", ["generator.onnx", "weights.bin"])
def test_a_bundle_that_was_changed_is_refused_in_a_sentence(film, tiny_bundle: Path, file: str) -> None:
    changed = shutil.copytree(tiny_bundle, Path("models/tiny/1"))
    with (changed / file).open("ab") as graph:
        graph.write(b"x")
    result = run("explain", film, "--provider", "cpu")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: the embedded server can't start: ")
    assert file in result.stderr


def test_a_bundle_is_installed_and_explains_without_being_named(film, tiny_bundle: Path, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("medxgan.client.command.bundle_search.MODELS_PACKAGE", "medxgan_models_of_no_one")
    nothing = run("explain", film, "--provider", "cpu")
    assert nothing.exit_code == 2
    assert "no bundle was found" in " ".join(nothing.stderr.replace("│", "").split())
    installed = run("models", "install", tiny_bundle)
    assert installed.exit_code == 0, installed.stderr
    assert "tiny 1" in run("models", "list").stdout
    result = run("explain", film, "--provider", "cpu", "--steps", 5)
    assert result.exit_code == 0, result.stderr
    assert Path("out/panel.png").exists()
