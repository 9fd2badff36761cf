"""A recipe for a classifier from elsewhere: what it chooses, what it says beforehand, and what it asks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from tests.training.small import SMALL_GENERATOR
from typer.testing import CliRunner

from medxgan.training.command import train
from medxgan.training.configuration import ExternalClassifierConfig
from medxgan.training.data import DataError, phantoms
from medxgan.training.data.medmnist import is_medmnist, read_medmnist
from medxgan.training.networks import ExternalClassifier
from medxgan.training.networks.resampling import resampling
from medxgan.training.recipe.budget import Cost, affordable_steps
from medxgan.training.recipe.inspection import picture_size
from medxgan.training.recipe.search import Judgement
from medxgan.training.recipe.sizing import FEWEST_STEPS, SIZES, generator_sizes, image_size, steps_for
from medxgan.training.runs import Run, load_trained_model

DARK = """
    <ir_version: 9, opset_import: ["" : 18]>
    dark (float[B, 1, SIDE, SIDE] x) => (float[B, 1] logits)
        <float[1, 1, 1, 1] k = {1.0}, float[1] none = {0.0}, float[1, 1] w = {-40}, float[1] b = {9}> {
        seen = Conv(x, k, none)
        lit = Relu(seen)
        mean = GlobalAveragePool(lit)
        flat = Flatten(mean)
        logits = Gemm(flat, w, b)
    }"""
"""Positive where all but the brightest places is dark, as in phantoms with lesions."""

STATED = """
[image]
modality = "drawn brain-like slice"
aspect = "stretch"

[classes]
positive = "lesion"
negative = "no lesion"

[card]
data = ["Phantoms, in the layout of MedMNIST"]
license = "Apache-2.0"
limitations = ["Shows drawings."]
"""

SMALL = f"""
[generator]
{SMALL_GENERATOR}
batch_size = 4
steps = 4
checkpoint_interval = 4

[familiarity]
steps = 2
"""


@pytest.fixture
def folder(tmp_path: Path, plain_terminal: None) -> Path:
    """A set of the layout of MedMNIST, a classifier that takes its 28x28 pixels, and what is stated of both."""
    images = phantoms(150, 32, 5)
    pictures = np.stack(images.images)[:, 2:30, 2:30]
    parts = {"train": slice(0, 80), "val": slice(80, 140), "test": slice(140, 150)}
    np.savez(
        tmp_path / "set.npz",
        **{f"{part}_images": pictures[rows] for part, rows in parts.items()},
        **{f"{part}_labels": images.labels[rows, None] for part, rows in parts.items()},
    )
    onnx.save(onnx.parser.parse_model(DARK.replace("SIDE", "28")), tmp_path / "dark.onnx")
    (tmp_path / "stated.toml").write_text(STATED)
    (tmp_path / "small.toml").write_text(STATED + SMALL)
    return tmp_path


@pytest.fixture
def call(folder: Path) -> Callable[..., Result]:
    def called(*arguments: str, config: str = "small.toml", out: str = "run") -> Result:
        options = ["--classifier", "dark.onnx", "--config", config, "--data", "set.npz", "--out", out]
        return CliRunner().invoke(train, ["generator", *options, *arguments])

    return called


# --- Sizes ---


@given(picture=st.integers(16, 3000), classifier=st.none() | st.integers(16, 600))
def test_nothing_is_enlarged_by_more_than_half(picture: int, classifier: int | None) -> None:
    size = image_size(picture, classifier)
    assert size in SIZES
    assert size <= 1.5 * min(picture, classifier or picture) or size == SIZES[0]


@pytest.mark.parametrize(
    ("picture", "classifier", "size"), [(28, 28, 32), (128, 240, 128), (2000, 64, 64), (64, 224, 64), (60, None, 64)]
)
def test_sizes(picture: int, classifier: int | None, size: int) -> None:
    assert image_size(picture, classifier) == size


def test_more_images_are_given_more() -> None:
    assert steps_for(1400) == 2625
    assert steps_for(50) == 1000
    few, some, many = (generator_sizes(images, 64)["z1_size"] for images in (100, 1400, 100_000))
    assert few < some == 96 < many


@given(
    step=st.floats(1e-3, 10),
    image=st.floats(0, 0.1),
    wanted=st.integers(1, 12_000),
    images=st.integers(1, 5000),
    trials=st.sampled_from([0, 3]),
    seconds=st.floats(1, 1e6),
)
def test_a_budget_buys_all_that_it_can_and_is_kept(
    step: float, image: float, wanted: int, images: int, trials: int, seconds: float
) -> None:
    cost = Cost(step, image, familiarity=3.0, memory=0, held=0)
    steps = affordable_steps(cost, wanted, images, trials, seconds)
    if steps is None:
        assert cost.seconds(min(FEWEST_STEPS, wanted), images, trials) > seconds
        return
    assert cost.seconds(steps, images, trials) <= seconds
    assert steps == wanted or cost.seconds(steps + 2, images, trials) > seconds


def test_the_best_convinces_resembles_and_changes_little() -> None:
    best = Judgement("best", flipped=0.9, unexplained=0.2, changed=0.1)
    others = [Judgement("", 0.5, 0.2, 0.1), Judgement("", 0.9, 0.7, 0.1), Judgement("", 0.9, 0.2, 0.5)]
    assert all(best.score > other.score for other in others)


# --- A classifier of another size ---


@given(size=st.integers(8, 80), other=st.integers(8, 80))
def test_resampling_keeps_levels_and_places(size: int, other: int) -> None:
    weights = resampling(size, other)
    torch.testing.assert_close(weights.sum(1), torch.ones(other))
    edge = other // size + 2
    inner = slice(edge, -edge)
    place = (torch.arange(size) + 0.5) / size
    torch.testing.assert_close(
        (weights @ place)[inner], ((torch.arange(other) + 0.5) / other)[inner], atol=0.02, rtol=0
    )


def test_a_classifier_is_shown_pictures_of_its_own_size() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.LeakyReLU(), torch.nn.Flatten(), torch.nn.Linear(1352, 1)
    )
    classifier = ExternalClassifier(network, 32, picture_size=28)
    x = torch.rand(2, 1, 32, 32).requires_grad_()
    classifier(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert ExternalClassifier(network, 28).outputs(torch.zeros(1, 1, 28, 28)) == classifier.outputs(
        torch.zeros(1, 1, 32, 32)
    )


def test_a_network_that_says_nothing_of_its_size_is_tried_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fixed_size.py").write_text(
        "from torch import nn\n\n\ndef make():\n"
        "    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1352, 1))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    external = ExternalClassifierConfig(source="fixed_size:make")
    assert picture_size(external, "lesion", 32) == 28
    assert picture_size(external, "lesion", 28) == 28
    (tmp_path / "any_size.py").write_text(
        "from torch import nn\n\n\ndef make():\n"
        "    ending = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1)\n"
        "    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), *ending)\n"
    )
    assert picture_size(ExternalClassifierConfig(source="any_size:make"), "lesion", 32) is None


# --- MedMNIST's layout ---


def test_its_parts_are_kept(folder: Path) -> None:
    split = read_medmnist(folder / "set.npz", (1,))
    assert split.calibration is not None
    assert (len(split.train), len(split.calibration), len(split.test)) == (80, 60, 10)
    assert split.train.images[0].shape == (28, 28)
    assert is_medmnist(folder / "set.npz")


def test_classes_and_columns_are_positive(tmp_path: Path) -> None:
    pictures = np.zeros((4, 28, 28), dtype=np.uint8)

    def labels_of(labels: Any, positive: tuple[int, ...]) -> list[int]:
        arrays = {f"{part}_images": pictures for part in ("train", "val", "test")}
        arrays |= {f"{part}_labels": np.array(labels, dtype=np.uint8) for part in ("train", "val", "test")}
        np.savez(tmp_path / "other.npz", **arrays)
        found: list[int] = read_medmnist(tmp_path / "other.npz", positive).train.labels.tolist()
        return found

    assert labels_of([[0], [3], [5], [3]], (3, 5)) == [0, 1, 1, 1]
    assert labels_of([[0, 1], [0, 0], [1, 0], [1, 1]], (1,)) == [1, 0, 0, 1]
    with pytest.raises(DataError, match="positive: expected some of 0, 3, found 7"):
        labels_of([[0], [3], [0], [3]], (7,))
    np.savez(tmp_path / "colour.npz", train_images=np.zeros((1, 28, 28, 3)), train_labels=np.zeros((1, 1)))
    with pytest.raises(DataError, match=r"train_images: expected grey pictures \[N, H, W\]"):
        read_medmnist(tmp_path / "colour.npz", (1,))


# --- The command ---


@pytest.mark.slow
def test_the_whole_way_and_a_second_call(call: Callable[..., Result], folder: Path) -> None:
    outcome = call("--yes")
    assert outcome.exit_code == 0, outcome.output
    told = " ".join(outcome.stderr.split())
    assert "80 to train on, 60 to calibrate on" in told
    assert "32 x 32 pixels, resized to the 28 x 28 that the classifier takes" in told
    assert "on this machine, by" in told
    assert "were estimated" in told

    stored = json.loads((folder / "run" / "recipe.json").read_text())
    assert stored["taken_seconds"] > 0
    assert stored["decisions_on_calibration_images"]["images"] == 60
    scores = [each["score"] for each in stored["search_on_calibration_images"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)

    model = load_trained_model(folder / "run")
    said = list(model.provenance.limitations)
    assert said[0] == "Shows drawings."
    assert any("28 x 28 pixels and is shown 32 x 32" in each and "60 calibration images" in each for each in said)
    assert any("chosen by a recipe" in each for each in said)
    assert Run.open(folder / "run").configuration.data.kind == "medmnist"

    again = call("--yes")
    assert again.exit_code == 0, again.output
    assert "Goes on with the plan of run/recipe.json" in again.stderr
    for changed, told in ((("--budget", "9"), "--budget was None and is 9.0"), (("--data", "new.npz"), "--data was")):
        refused = call("--yes", *changed)
        assert refused.exit_code == 1
        assert told in refused.stderr
    assert "generator.steps was 4 and is None" in call("--yes", config="stated.toml").stderr
    steps = [
        json.loads(line)["step"] for line in (folder / "run" / "generator" / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == [4]


def test_a_plan_of_something_else_is_not_gone_on_with(call: Callable[..., Result], folder: Path) -> None:
    (folder / "run").mkdir()
    asked = {"external_classifier.source": "other.onnx", "--budget": 2.0}
    (folder / "run" / "recipe.json").write_text(json.dumps({"asked": asked}))
    outcome = call("--yes")
    assert outcome.exit_code == 1
    assert "run/recipe.json: was planned otherwise" in outcome.stderr
    assert f"external_classifier.source was 'other.onnx' and is '{folder / 'dark.onnx'}'" in outcome.stderr
    assert "--budget" not in outcome.stderr, "not stated again"


def test_without_a_terminal_nobody_can_agree(call: Callable[..., Result], folder: Path) -> None:
    outcome = call()
    assert outcome.exit_code == 1
    assert "--yes: expected it, as there is no terminal" in outcome.stderr
    assert not (folder / "run").exists()


def test_a_budget_that_is_too_small_is_refused(call: Callable[..., Result], folder: Path) -> None:
    outcome = call("--yes", "--budget", "0.0001", config="stated.toml")
    assert outcome.exit_code == 1
    assert "--budget: expected" in outcome.stderr
    assert not (folder / "run").exists()


def test_a_classifier_that_calls_nothing_positive_is_refused(call: Callable[..., Result], folder: Path) -> None:
    never = DARK.replace("SIDE", "28").replace("{9}", "{-99}")
    onnx.save(onnx.parser.parse_model(never), folder / "dark.onnx")
    outcome = call("--yes")
    assert outcome.exit_code == 1
    assert "calls 0 of 60 calibration images 'lesion'" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--classifier", "none.onnx"), "no such file"),
        (("--classifier", "network.pt2"), "network.pt2 is read by unpickling"),
        (("--data", "stated.toml"), "--data: expected an .npz file or a folder of shards"),
        (("--config", "none.toml"), "none.toml"),
    ],
)
def test_what_is_wrong_is_said(call: Callable[..., Result], arguments: tuple[str, ...], message: str) -> None:
    outcome = call("--yes", *arguments)
    assert outcome.exit_code == 1
    assert message in outcome.stderr


def test_its_options_mean_nothing_without_a_classifier(folder: Path) -> None:
    for option in (["--yes"], ["--budget", "1"]):
        outcome = CliRunner().invoke(train, ["generator", "--config", "small.toml", "--out", "run", *option])
        assert outcome.exit_code == 1
        assert "expected together with --classifier" in outcome.stderr
