"""From a configuration to a run folder, by the functions and by the command."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.small import SMALL_GENERATOR
from typer.testing import CliRunner

from medxgan.training.command import train
from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.runs import Run, RunError, load_trained_model
from medxgan.training.sample_grid import SampleGrid
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_encoder import train_encoder
from medxgan.training.train_generator import train_generator

CONFIGS = Path(__file__).parents[2] / "training" / "configs"

SMALL = f"""
extends = "phantom.toml"

[data]
kind = "phantom"
count = 120
size = 48
seed = 3

[classifier]
width = 4
epochs = 6

[generator]
{SMALL_GENERATOR}
steps = 6
checkpoint_interval = 3
batch_size = 4

[encoder]
channels = [4, 6]
steps = 2

[familiarity]
steps = 2
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    (folder / "phantom.toml").write_text((CONFIGS / "phantom.toml").read_text())
    (folder / "small.toml").write_text(SMALL)
    return folder / "small.toml"


@pytest.fixture(scope="module")
def configuration(config: Path) -> TrainingConfig:
    return load_configuration(config)


def with_steps(configuration: TrainingConfig, steps: int) -> TrainingConfig:
    generator = configuration.generator.model_copy(update={"steps": steps})
    return configuration.model_copy(update={"generator": generator})


@pytest.fixture(scope="module")
def run(configuration: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train_classifier(configuration, folder, folder)
    train_generator(configuration, folder, folder)
    return folder


def test_a_run_folder_says_what_was_done(run: Path, configuration: TrainingConfig) -> None:
    options = json.loads((run / "options.json").read_text())
    assert TrainingConfig.model_validate(options["configuration"]) == configuration
    assert options["versions"]["torch"] == torch.__version__
    assert sorted(file.name for file in (run / "generator" / "samples").iterdir()) == [
        "step-000003.png",
        "step-000006.png",
    ]
    figures = [json.loads(line) for line in (run / "generator" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in figures] == [3, 6]
    assert figures[0].keys() >= {"discriminator", "adversarial", "class_of_sample", "reconstruction"}
    assert list((run / "generator").glob("events.out.tfevents.*"))


@pytest.mark.slow
def test_an_auc_that_there_is_not_is_null(configuration: TrainingConfig, tmp_path: Path) -> None:
    nobody = configuration.model_copy(
        update={
            "data": configuration.data.model_copy(update={"count": 20, "test_share": 0.0, "calibration_share": 0.0}),
            "classifier": configuration.classifier.model_copy(update={"epochs": 1}),
        }
    )
    train_classifier(nobody, tmp_path, tmp_path / "run")
    last = (tmp_path / "run" / "classifier" / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last) == {"step": 1, "test_auc": None}


def test_what_can_not_be_trained_on_is_said_before_the_training(config: Path, tmp_path: Path) -> None:
    wrong = {"test_share = 1": "state a data.test_share below 1", "positive_share = 0": "got negative ones alone"}
    for share, told in wrong.items():
        file = config.with_name("nobody.toml")
        file.write_text(f'extends = "small.toml"\n[data]\n{share}\n')
        outcome = CliRunner().invoke(train, ["classifier", "--config", str(file), "--out", str(tmp_path / "run")])
        assert outcome.exit_code == 1
        assert told in outcome.stderr.replace("\n", " ")


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    run: Path, configuration: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(grid: SampleGrid, file: Path) -> None:
        if "step-000006" in file.name:
            raise KeyboardInterrupt

    train_classifier(configuration, tmp_path, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(SampleGrid, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_generator(configuration, tmp_path, tmp_path)
    train_generator(configuration, tmp_path, tmp_path)
    whole, resumed = (load_file(folder / "generator" / "checkpoint.safetensors") for folder in (run, tmp_path))
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=0, rtol=0, msg=name)


def test_the_classifier_stays_frozen(run: Path, configuration: TrainingConfig, tmp_path: Path) -> None:
    before = load_file(run / "classifier" / "checkpoint.safetensors")
    train_generator(with_steps(configuration, 7), run, run)
    after = load_file(run / "classifier" / "checkpoint.safetensors")
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_published_form_trains_without_an_encoder(configuration: TrainingConfig, tmp_path: Path) -> None:
    published = load_configuration(CONFIGS / "paper-chest.toml").generator
    small = published.model_copy(
        update={
            "channels": configuration.generator.channels,
            "discriminator_channels": (4, 6),
            "steps": 2,
            "checkpoint_interval": 2,
            "batch_size": 4,
        }
    )
    paper = configuration.model_copy(update={"generator": small})
    train_classifier(paper, tmp_path, tmp_path)
    train_generator(paper, tmp_path, tmp_path)
    generator, encoder = Run.open(tmp_path).generator()
    assert (generator.z1_size, generator.z2_size, encoder) == (100, 10, None)


def test_an_encoder_of_its_own_takes_the_place_of_the_joint_one(run: Path, configuration: TrainingConfig) -> None:
    x = torch.rand(2, 1, 32, 32)
    _, joint = Run.open(run).generator()
    train_encoder(configuration, run, run)
    _, own = Run.open(run).generator()
    assert joint is not None
    assert own is not None
    assert not torch.equal(joint(x), own(x))


def test_a_run_is_ready_for_export(run: Path, configuration: TrainingConfig) -> None:
    model = load_trained_model(run)
    assert (model.image.height, model.image.width) == (32, 32)
    assert [output.name for output in model.classification.outputs] == [model.classification.positive_class]
    assert model.provenance.seed == configuration.seed
    # Nothing is called too far, and no figure stated, before anything has been measured.
    assert (model.reliability.maximum_reconstruction_mse, model.metrics) == (4, ())
    assert not any(parameter.requires_grad for parameter in model.generator.parameters())


def test_a_run_without_classifier_is_not_ready(configuration: TrainingConfig, tmp_path: Path) -> None:
    Run.create(tmp_path, configuration)
    with pytest.raises(RunError, match="medxgan train classifier"):
        load_trained_model(tmp_path)


def test_a_run_keeps_its_familiarity_measures(run: Path, configuration: TrainingConfig) -> None:
    kept = load_trained_model(run).familiarity
    x = torch.rand(3, 1, 32, 32)
    fitted = Run.open(run).familiarity()
    assert torch.equal(kept.measures(x), fitted.measures(x))
    assert [each.name for each in kept.description.measures] == ["foreignness", "appearance_distance"]
    assert 0 <= kept.description.false_alarm_rate <= 1
    assert kept.description.measured_on.startswith("test split, ")
    assert "of patients not trained on" in kept.description.method


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["generator"], "medxgan train classifier"),
        (["encoder"], "options.json"),
    ],
)
def test_what_is_missing_is_said(config: Path, tmp_path: Path, arguments: list[str], told: str) -> None:
    outcome = CliRunner().invoke(train, [*arguments, "--config", str(config), "--out", str(tmp_path / "run")])
    assert outcome.exit_code == 1
    assert told in outcome.stderr.replace("\n", " ")


def test_a_mistake_in_the_file_is_named(config: Path, tmp_path: Path) -> None:
    wrong = config.parent / "wrong.toml"
    wrong.write_text('extends = "small.toml"\n[classifier]\nepochs = 0\n')
    outcome = CliRunner().invoke(train, ["classifier", "--config", str(wrong), "--out", str(tmp_path)])
    assert outcome.exit_code == 1
    assert "classifier.epochs" in outcome.stderr


def test_the_command_trains(config: Path, tmp_path: Path) -> None:
    outcome = CliRunner().invoke(train, ["classifier", "--config", str(config), "--out", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    assert Run.open(tmp_path).checkpoint("classifier").exists()
