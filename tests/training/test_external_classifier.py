"""A classifier that was trained elsewhere, as C of a generator's training."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from tests.training.small import SMALL_GENERATOR
from torch import Tensor, nn
from typer.testing import CliRunner

from medxgan.training.command import train
from medxgan.training.configuration import (
    ExternalClassifierConfig,
    TrainingConfig,
    load_configuration,
    load_served_classifier,
)
from medxgan.training.load_classifier import ClassifierSourceError, load_external_classifier
from medxgan.training.networks import ExternalClassifier
from medxgan.training.networks.layers import LayerError
from medxgan.training.recipe.budget import RecipeError
from medxgan.training.recipe.inspection import picture_size
from medxgan.training.runs import Run, RunError, load_trained_model
from medxgan.training.served_classifier import served_classifier
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_generator import train_generator
from medxgan.v1.bundle_pb2 import OUTPUT_ACTIVATION_SOFTMAX

CONFIGS = Path(__file__).parents[2] / "training" / "configs"

FACTORY = """
from torch import nn

def make(width):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(width, 3),
    )
"""
CONFIGURATION = f"""
extends = "phantom.toml"

[data]
kind = "phantom"
count = 40
size = 48
seed = 3

[external_classifier]
source = "foreign_factory:make"
arguments = {{ width = 5 }}
weights = "weights/foreign.safetensors"
channels = 3
mean = [0.5]
std = [0.25]
outputs = ["none", "small", "large"]

[classes]
positive = "large"

[familiarity]
steps = 2

[generator]
{SMALL_GENERATOR}
steps = 2
checkpoint_interval = 2
batch_size = 4
"""


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[nn.Module]:
    """The foreign network; beside it, in `tmp_path`, its factory, its weights and a configuration."""
    (tmp_path / "foreign_factory.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    from foreign_factory import make  # type: ignore[import-not-found]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network: nn.Module = make(5)
    (tmp_path / "weights").mkdir()
    save_file(network.state_dict(), tmp_path / "weights" / "foreign.safetensors")
    (tmp_path / "phantom.toml").write_text((CONFIGS / "phantom.toml").read_text())
    (tmp_path / "foreign.toml").write_text(CONFIGURATION)
    yield network.eval()
    del sys.modules["foreign_factory"]


@pytest.fixture
def configuration(foreign: nn.Module, tmp_path: Path) -> TrainingConfig:
    return load_configuration(tmp_path / "foreign.toml")


def test_a_generator_trains_against_it(
    foreign: nn.Module, configuration: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_generator(configuration, tmp_path, tmp_path / "run")
    figures = json.loads((tmp_path / "run" / "generator" / "metrics.jsonl").read_text().splitlines()[-1])
    assert figures["features"] > 0
    # The run is opened from wherever one is: it holds whole paths.
    monkeypatch.chdir(CONFIGS)
    classifier = Run.open(tmp_path / "run").classifier()
    x = 2 * torch.rand(4, 1, 32, 32) - 1
    outputs = foreign(((x.expand(-1, 3, -1, -1) + 1) / 2 - 0.5) / 0.25)
    torch.testing.assert_close(classifier.outputs(x), outputs)
    torch.testing.assert_close(torch.sigmoid(classifier(x)), outputs.softmax(1)[:, 2])
    assert not any(parameter.requires_grad for parameter in classifier.parameters())


def test_what_export_needs_of_such_a_run(configuration: TrainingConfig, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", configuration)
    model = load_trained_model(run.folder)
    assert (model.generator, model.inversion, model.reliability) == (None, None, None)
    assert [output.name for output in model.classification.outputs] == ["none", "small", "large"]
    assert (model.classification.positive_class, model.classification.activation) == (
        "large",
        OUTPUT_ACTIVATION_SOFTMAX,
    )
    assert model.familiarity is None
    assert json.loads(model.provenance.configuration["data"])["kind"] == "phantom"
    external = json.loads(model.provenance.configuration["external_classifier"])
    assert external["weights"] == "foreign.safetensors"
    assert len(external["sha256"]) == 64
    train_generator(configuration, tmp_path, run.folder)
    model = load_trained_model(run.folder)
    assert model.generator is not None
    # The generator's training is the first that sees the films of such a run.
    assert model.familiarity is not None


def test_that_a_files_softmax_was_left_out_is_said_in_the_log_and_the_card(
    foreign: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["" : 18]>
        network (float[B, 3, 32, 32] x) => (float[B, 3] y)
        <float[3, 3, 3, 3] w, float[3] b = {0.5, 0.0, -0.5}> {
            seen = Conv <kernel_shape = [3, 3]> (x, w, b)
            active = Relu (seen)
            mean = GlobalAveragePool (active)
            logits = Flatten (mean)
            y = Softmax (logits)
        }
    """)
    weight = torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    graph.graph.initializer.append(onnx.numpy_helper.from_array(weight.numpy(), "w"))
    onnx.save(graph, tmp_path / "ends.onnx")
    own = [line for line in CONFIGURATION.splitlines() if not line.startswith(("arguments", "weights"))]
    text = "\n".join(own).replace("foreign_factory:make", "ends.onnx")
    (tmp_path / "ends.toml").write_text(
        text.replace("[familiarity]", '[card]\nlimitations = ["stated"]\n[familiarity]')
    )
    configuration = load_configuration(tmp_path / "ends.toml")
    train_generator(configuration, tmp_path, tmp_path / "run")
    told = "The Softmax that the file ends in was left out: the outputs, and what is explained, are logits."
    assert f"external_classifier: {told}" in caplog.messages
    model = load_trained_model(tmp_path / "run")
    assert list(model.provenance.limitations) == ["stated", told]


def test_it_is_not_trained(configuration: TrainingConfig, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="foreign_factory:make is trained already"):
        train_classifier(configuration, tmp_path, tmp_path / "run")


def test_what_is_wrong_with_it_is_said(configuration: TrainingConfig, tmp_path: Path) -> None:
    (tmp_path / "weights" / "foreign.safetensors").unlink()
    outcome = CliRunner().invoke(
        train, ["generator", "--config", str(tmp_path / "foreign.toml"), "--out", str(tmp_path / "run")]
    )
    assert outcome.exit_code == 1
    assert "external_classifier.weights: no such file" in outcome.stderr.replace("\n", " ")


def test_a_bundle_of_it_alone_takes_a_training_configuration(foreign: nn.Module, tmp_path: Path) -> None:
    served = load_served_classifier(tmp_path / "foreign.toml", weights=tmp_path / "other.safetensors")
    assert served.image.size == 32
    assert served.external_classifier.weights == tmp_path / "other.safetensors"
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('extends = "foreign.toml"\n[generaator]\nsteps = 3\n')
    with pytest.raises(ValidationError, match="generaator"):
        load_served_classifier(wrong)


def test_the_positive_class_is_one_of_the_outputs(foreign: nn.Module, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('extends = "foreign.toml"\n[classes]\npositive = "huge"\n')
    for load in (load_configuration, load_served_classifier):
        with pytest.raises(ValidationError, match=r"classes\.positive: expected one of none, small, large, found huge"):
            load(wrong)


def test_a_positive_class_that_is_no_output_is_named_and_not_tried_at_other_sizes(foreign: nn.Module) -> None:
    section = ExternalClassifierConfig(
        source="foreign_factory:make", arguments={"width": 5}, channels=3, outputs=("none", "small", "large")
    )
    told = r"^classes\.positive: expected one of none, small, large, found larg$"
    with pytest.raises(ClassifierSourceError, match=told):
        load_external_classifier(section, 32, "larg")
    with pytest.raises(RecipeError, match=told):
        picture_size(section, "larg", 32)


def test_outputs_between_0_and_1_are_taken_for_probabilities_unless_they_are_said_to_be_logits(
    foreign: nn.Module, tmp_path: Path
) -> None:
    with (tmp_path / "foreign_factory.py").open("a") as file:
        file.write(
            "\nclass Bounded(nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        self.convolution = nn.Conv2d(1, 1, 3)\n"
            "    def forward(self, x):\n"
            "        return self.convolution(x).tanh().square().mean((2, 3))\n"
        )
    importlib.reload(sys.modules["foreign_factory"])
    section = ExternalClassifierConfig(source="foreign_factory:Bounded")
    with pytest.raises(ClassifierSourceError, match=r"lie between 0 and 1.*state external_classifier\.logits = true"):
        load_external_classifier(section, 32, "large")
    load_external_classifier(section.model_copy(update={"logits": True}), 32, "large")


def test_outputs_that_do_not_exclude_each_other_stand_for_themselves(foreign: nn.Module) -> None:
    outputs = torch.tensor([[1.0, -2.0, 0.5]])
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.LazyLinear(3))
    exclusive, own = (ExternalClassifier(network, 16, positive=2, exclusive=each) for each in (True, False))
    torch.testing.assert_close(exclusive.positive_logit(outputs).sigmoid(), outputs.softmax(1)[:, 2])
    torch.testing.assert_close(own.positive_logit(outputs), outputs[:, 2])


MERGED = """
extends = "foreign.toml"

[classes]
positive = "any"

[external_classifier]
merged = { any = ["small", "large"] }
"""


def test_outputs_that_count_as_one_class_add_up_their_probabilities(foreign: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "merged.toml").write_text(MERGED)
    configuration = load_served_classifier(tmp_path / "merged.toml")
    model = served_classifier(configuration)
    assert [output.name for output in model.classification.outputs] == ["none", "any"]
    assert any('"any" stands for the outputs small, large together' in each for each in model.provenance.limitations)
    x = 2 * torch.rand(4, 1, configuration.image.size, configuration.image.size) - 1
    outputs = foreign(((x.expand(-1, 3, -1, -1) + 1) / 2 - 0.5) / 0.25)
    torch.testing.assert_close(torch.sigmoid(model.classifier(x)), outputs.softmax(1)[:, 1:].sum(1))
    torch.testing.assert_close(
        model.classifier.outputs(x).softmax(1),
        torch.stack([outputs.softmax(1)[:, 0], outputs.softmax(1)[:, 1:].sum(1)], 1),
    )


@pytest.mark.parametrize(
    ("merged", "activation", "told"),
    [
        ('{ any = ["small", "huge"] }', "softmax", "expected names of outputs, found huge"),
        ('{ any = ["small"] }', "softmax", "at least two outputs for each class"),
        ('{ any = ["small", "large"], all = ["none", "large"] }', "softmax", "each output in one class alone"),
        ('{ none = ["small", "large"] }', "softmax", "none is the name of another output"),
        ('{ any = ["none", "small", "large"] }', "softmax", "at least two classes to be left"),
        ('{ any = ["small", "large"] }', "logistic", "outputs that exclude each other"),
    ],
)
def test_classes_that_can_not_be_merged_are_refused(
    foreign: nn.Module, tmp_path: Path, merged: str, activation: str, told: str
) -> None:
    stated = f'extends = "foreign.toml"\n[external_classifier]\nmerged = {merged}\nactivation = "{activation}"\n'
    (tmp_path / "merged.toml").write_text(stated)
    with pytest.raises(ValidationError, match=f"merged: .*{told}"):
        load_served_classifier(tmp_path / "merged.toml")


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, padding=1)
        self.activation = nn.ReLU(inplace=True)
        self.pool = nn.AvgPool2d(2)
        self.body = nn.Sequential(nn.Conv2d(2, 2, 1), nn.SiLU())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(2, 2, 1), nn.Sigmoid())
        self.output = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.activation(self.stem(x)))
        x = self.activation(self.body(x))
        x = nn.functional.relu_(x * self.gate(x))
        output: Tensor = self.output(x.mean((2, 3)))
        return output


def test_the_layer_is_the_last_that_makes_activations() -> None:
    classifier = ExternalClassifier(Branches(), 16)
    assert classifier.layer == "activation"
    assert classifier.stages == ("stem", "activation")
    assert ExternalClassifier(Branches(), 16, layer="body").layer == "body"
    with pytest.raises(LayerError, match=r"last that do are activation, body.1, body.0, stem"):
        ExternalClassifier(Branches(), 16, layer="bodi")


def test_deeper_features_are_those_of_two_resolutions_and_pass_gradients() -> None:
    classifier = ExternalClassifier(Branches(), 16, layer="body.1").eval()
    x = torch.randn(2, 1, 16, 16, requires_grad=True)
    coarse, fine = reversed(classifier.deeper_features(x))
    assert fine.shape[2:] == (16, 16)
    assert coarse.shape[2:] == (8, 8)
    (gradient,) = torch.autograd.grad(coarse.sum() + fine.sum(), x)
    assert float(gradient.abs().max()) > 0
