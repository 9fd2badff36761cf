"""Options of `medxgan explain` and `medxgan models`: what is sent for them, and what is refused."""

import hashlib
import json

import pytest
from tests.client.commands import run, words

from medxgan.v1 import bundle_pb2, explanation_pb2

pytestmark = pytest.mark.usefixtures("plain_terminal", "undrawn")


@pytest.mark.slow
def test_the_options_are_sent(service, film) -> None:
    options = {
        "--target": "pneumonia",
        "--path-steps": 20,
        "--baseline": 0.5,
        "--window": 4,
        "--stride": 2,
        "--occlusion-level": 0.25,
        "--steps": 9,
        "--learning-rate": 0.5,
        "--reconstruction-weight": 2,
        "--restarts": 2,
        "--solver": "lbfgs",
        "--seed": 3,
        "--frame": 5,
        "--pixel-spacing": "0.25,0.5",
    }
    arguments = [argument for pair in options.items() for argument in pair]
    result = run("explain", film, "--server", service.address, "--method", "all", *arguments)
    assert result.exit_code == 0, result.stderr
    sent = service.requests[-1]
    assert sent.settings == explanation_pb2.ExplainSettings(
        target_class="pneumonia",
        seed=3,
        inversion=explanation_pb2.InversionSettings(
            steps=9, learning_rate=0.5, reconstruction_weight=2, restarts=2, solver=bundle_pb2.SOLVER_LBFGS
        ),
        integrated_gradients=explanation_pb2.IntegratedGradientsSettings(steps=20, baseline=0.5),
        occlusion=explanation_pb2.OcclusionSettings(window=4, stride=2, level=0.25),
    )
    assert sent.image.frame == 5
    assert (sent.image.pixel_spacing.row_mm, sent.image.pixel_spacing.column_mm) == (0.25, 0.5)


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [
        ("grad-cam", "--steps", 1),
        ("grad-cam", "--learning-rate", 1),
        ("occlusion", "--reconstruction-weight", 1),
        ("gradient", "--restarts", 1),
        ("gradient", "--seed", 1),
        ("medxgan", "--path-steps", 1),
        ("difference", "--baseline", 1),
        ("medxgan", "--window", 1),
        ("evidence", "--stride", 1),
        ("grad-cam", "--occlusion-level", 1),
        ("difference", "--target", "x"),
    ],
)
def test_an_option_is_refused_where_it_means_nothing(service, film, method, option, value) -> None:
    result = run("explain", film, "--server", service.address, "--method", method, option, value)
    assert result.exit_code == 2
    assert option in result.stderr
    assert "means nothing to the maps asked for; it is for:" in words(result.stderr)


def test_the_seed_means_something_to_a_trajectory(service, film) -> None:
    options = ("--method", "grad-cam", "--trajectory", 3, "--seed", 5)
    assert run("explain", film, "--server", service.address, *options).exit_code == 0


def test_the_report_names_the_file_only_where_asked(service, film, tmp_path) -> None:
    digest = hashlib.sha256(film.read_bytes()).hexdigest()
    for options, image in (((), {"sha256": digest}), (("--name-files",), {"name": "film.png", "sha256": digest})):
        assert run("explain", film, "--server", service.address, *options).exit_code == 0
        text = (tmp_path / "out" / "explanation.json").read_text()
        assert json.loads(text)["image"] == image
        assert ("film.png" in text) == bool(options)


def test_the_environment_may_name_the_server(service, monkeypatch) -> None:
    monkeypatch.setenv("MEDXGAN_SERVER", service.address)
    monkeypatch.setenv("MEDXGAN_MODELS", "elsewhere")
    assert run("models").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["explain"], "Missing argument"),
        (["explain", "x.png", "--server", "127.0.0.1:9", "--models", "m"], "--server names another"),
        (["models", "--server", "127.0.0.1:9", "--provider", "cpu"], "--server names another"),
        (["explain", "x.png", "--pixel-spacing", "0.1"], "expected ROW,COLUMN in mm"),
        (["explain", "x.png", "--seed", "-1"], "--seed"),
        (["explain", "x.png", "--models", "nowhere"], "there is no folder nowhere"),
        (["models"], "no bundle was found in models"),
        (["dream"], "No such command"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], complaint: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert complaint in words(result.stderr)
