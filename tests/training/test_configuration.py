from pathlib import Path

import pytest
from pydantic import ValidationError
from typer import Typer
from typer.testing import CliRunner

from medxgan.training.command import data, train
from medxgan.training.configuration import load_configuration

CONFIGS = Path(__file__).parents[2] / "training" / "configs"


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.toml")), ids=lambda file: file.stem)
def test_every_shipped_file_is_valid(file: Path) -> None:
    assert load_configuration(file).card.data


def test_the_paper_preset_has_the_published_settings() -> None:
    chest, brain = (load_configuration(CONFIGS / f"paper-{name}.toml") for name in ("chest", "brain-lgg"))
    for configuration in (chest, brain):
        generator = configuration.generator
        assert (generator.learning_rate, generator.beta1, generator.beta2) == (2e-4, 0.5, 0.999)
        assert (generator.batch_size, generator.initial_deviation) == (32, 0.02)
    assert (chest.generator.z1_size, chest.generator.z2_size, chest.generator.weights.class_of_sample) == (100, 10, 1)
    assert (brain.generator.z1_size, brain.generator.z2_size, brain.generator.weights.class_of_sample) == (1000, 100, 2)
    assert chest.data == load_configuration(CONFIGS / "chest.toml").data


@pytest.mark.parametrize("size", [32, 128])
@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.toml")), ids=lambda file: file.stem)
def test_one_line_changes_the_size_of_every_shipped_file(tmp_path: Path, file: Path, size: int) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(f'extends = "{file}"\n[image]\nsize = {size}\n')
    assert load_configuration(changed).image.size == size


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("[generator]\nsteps = 0", "generator.steps"),
        ("[generator]\nstep = 5", "generator.step"),
        ("[image]\nsize = 48", "image.size"),
        ("[image]\nsize = 16", "generator.fine_z1"),
        ("[image]\nsize = 16\n[generator]\nfine_z1 = 0", "generator.fine_z2"),
        ("[generator]\nchannels = []", "generator.channels"),
        ("[generator]\nencoder_channels = []", "generator.weights.reconstruction"),
        ("[generator]\npathology_channels = []", "generator.pathology_channels"),
        ('[image]\naspect = "squeeze"', "image.aspect"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, change: str, named: str) -> None:
    (tmp_path / "base.toml").write_text((CONFIGS / "phantom.toml").read_text())
    file = tmp_path / "mine.toml"
    file.write_text(f'extends = "base.toml"\n{change}\n')
    with pytest.raises(ValidationError) as caught:
        load_configuration(file)
    told = "; ".join(f"{'.'.join(map(str, error['loc']))} {error['msg']}" for error in caught.value.errors())
    assert named in told


@pytest.mark.parametrize(
    ("app", "arguments"),
    [
        (train, ["classifier"]),
        (train, ["generator"]),
        (train, ["encoder"]),
        (train, ["refinement"]),
        (data, ["shard"]),
    ],
    ids=["classifier", "generator", "encoder", "refinement", "shard"],
)
@pytest.mark.parametrize("content", [b"[image\n", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, app: Typer, arguments: list[str], content: bytes) -> None:
    (tmp_path / "base.toml").write_bytes(content)
    (tmp_path / "mine.toml").write_text('extends = "base.toml"\n')
    options = ["--config", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "out")]
    outcome = CliRunner().invoke(app, [*arguments, *options])
    assert outcome.exit_code == 1
    assert "base.toml: not TOML" in outcome.stderr
    assert not (tmp_path / "out").exists()
