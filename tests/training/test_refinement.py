"""Passes that refine the encoder's guess: what they may move, and that training them brings the loss down."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.masked_networks import SIZE, masked_networks, residual_network
from tests.training.small import small_content, toml
from torch import Tensor
from typer.testing import CliRunner

from medxgan.training.command import train
from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.dataset import preprocess_images
from medxgan.training.model import TrainedModel
from medxgan.training.networks import RefinedEncoder, ResidualEncoder
from medxgan.training.runs import Run, RunError, RunLog, build_preprocess, load_trained_model
from medxgan.training.train_refinement import train_refinement


def refined(*, anatomy_alone: bool, passes: int = 2) -> RefinedEncoder:
    """Of untrained networks of the masked form."""
    encoder, generator, _ = masked_networks(pictures(64))
    return RefinedEncoder(encoder, generator, residual_network(generator, anatomy_alone=anatomy_alone), passes)


def pictures(count: int) -> Tensor:
    return torch.rand(count, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_nothing_moves_before_the_training() -> None:
    encoder, generator, _ = masked_networks(pictures(64))
    residual, x = ResidualEncoder(generator, (4, 6, 8, 8), anatomy_alone=False), pictures(3)
    assert torch.equal(RefinedEncoder(encoder, generator, residual, 2)(x), encoder(x))


def test_a_pathology_that_is_held_stays() -> None:
    encoder, x = refined(anatomy_alone=True), pictures(3)
    z1_size = encoder.generator.z1_size
    found, guessed = encoder(x), encoder.encoder(x)
    assert torch.equal(found[:, z1_size:], guessed[:, z1_size:])
    coarse, fine = torch.split((found - guessed)[:, :z1_size], encoder.generator.parts[:2], 1)
    for part in (coarse, fine):
        assert (part.abs().amax(1) > 1e-4).all()


def test_every_part_of_the_code_may_move() -> None:
    encoder, x = refined(anatomy_alone=False), pictures(2)
    for part in torch.split(encoder(x) - encoder.encoder(x), encoder.generator.parts, 1):
        assert (part.abs().amax(1) > 1e-4).all()


def test_each_pass_goes_on_from_what_the_one_before_drew() -> None:
    x = pictures(2)
    once, twice = (refined(anatomy_alone=True, passes=passes) for passes in (1, 2))
    z = once(x)
    torch.testing.assert_close(twice(x), once.residual(x, once.generator(z), z))


def test_a_row_is_refined_by_itself() -> None:
    encoder, x = refined(anatomy_alone=False), pictures(3)
    together = encoder(x)
    for row in range(3):
        torch.testing.assert_close(encoder(x[row : row + 1])[0], together[row], atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def run(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(small_run, tmp_path_factory.mktemp("refinement") / "run")


@pytest.fixture(scope="module")
def configuration(run: Path) -> TrainingConfig:
    content = small_content()
    content["refinement"] = {"passes": 2, "channels": [4, 6, 8, 8], "steps": 60, "learning_rate": 1e-2}
    file = run.with_name("refined.toml")
    file.write_text(toml(content), encoding="utf-8")
    return load_configuration(file)


@pytest.mark.slow
def test_training_brings_the_error_down_and_leaves_the_generator_alone(
    run: Path, configuration: TrainingConfig
) -> None:
    untrained, before = load_trained_model(run), load_file(run / "generator" / "checkpoint.safetensors")
    train_refinement(configuration, run, run)
    model, x = load_trained_model(run), shown(run)
    assert isinstance(model.encoder, RefinedEncoder)
    assert error(model, x) < error(untrained, x)
    assert '"passes":2' in model.provenance.configuration["refinement"]
    after = load_file(run / "generator" / "checkpoint.safetensors")
    assert all(torch.equal(after[name], value) for name, value in before.items())


def error(model: TrainedModel, x: Tensor) -> float:
    assert model.generator is not None
    assert model.encoder is not None
    return (model.generator(model.encoder(x)) - x).square().mean().item()


@pytest.mark.slow
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    run: Path, configuration: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(log: RunLog, step: int, figures: Mapping[str, float | None]) -> None:
        if step == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr("medxgan.training.train_refinement.CHECKPOINT_INTERVAL", 20)
    whole, parted = (
        shutil.copytree(run, tmp_path / name, ignore=shutil.ignore_patterns("refinement"))
        for name in ("whole", "parted")
    )
    train_refinement(configuration, whole, whole)
    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_refinement(configuration, parted, parted)
    train_refinement(configuration, parted, parted)
    wanted, found = (load_file(each / "refinement" / "checkpoint.safetensors") for each in (whole, parted))
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=0, rtol=0, msg=name)


def shown(run: Path) -> Tensor:
    """Some of the training's images as the networks see them."""
    configuration = Run.open(run).configuration
    return preprocess_images(build_preprocess(configuration), configuration.data.load(run).train).x[:32]


@pytest.mark.slow
def test_passes_that_are_not_trained_are_asked_for(configuration: TrainingConfig, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("refinement"))
    Run.create(tmp_path / "run", configuration)
    with pytest.raises(RunError, match="medxgan train refinement"):
        load_trained_model(tmp_path / "run")


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("generator", {"form": "plain"}),
        ("generator", {"fine_z2": 0}),
    ],
)
def test_passes_need_two_branches_with_fine_codes(section: str, changes: dict[str, object]) -> None:
    content = small_content()
    content["refinement"] = {"passes": 1}
    content[section] |= changes
    with pytest.raises(ValueError, match=r"refinement\.passes"):
        TrainingConfig.model_validate(content)


def test_a_training_of_no_passes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    file.write_text(toml(small_content()))
    outcome = CliRunner().invoke(train, ["refinement", "--config", str(file), "--out", str(tmp_path / "run")])
    assert outcome.exit_code == 1
    assert "refinement.passes: expected at least 1" in outcome.stderr.replace("\n", " ")
