"""Networks of any size from one configuration."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.networks import TwoBranchGenerator
from medxgan.training.networks.channels import decoder_channels, doublings, encoder_channels
from medxgan.training.runs import Run, build_discriminator, build_encoder, build_generator

CONFIGS = Path(__file__).parents[2] / "training" / "configs"
SIZES = [16, 32, 64, 128]


def configured(size: int, name: str = "brain-lgg") -> TrainingConfig:
    """A shipped configuration with another size; below 32 pixels there is no room for fine codes."""
    shipped = load_configuration(CONFIGS / f"{name}.toml").model_dump()
    shipped["image"]["size"] = size
    if size < 32:
        shipped["generator"] |= {"fine_z1": 0, "fine_z2": 0}
    return TrainingConfig.model_validate(shipped)


def test_lists_are_repeated_or_cut_where_the_grid_is_coarsest() -> None:
    assert [decoder_channels((8, 6, 4), size) for size in SIZES] == [(6, 4), (8, 6, 4), (8, 8, 6, 4), (8, 8, 8, 6, 4)]
    assert [encoder_channels((4, 6, 8), size) for size in SIZES] == [(4, 6), (4, 6, 8), (4, 6, 8, 8), (4, 6, 8, 8, 8)]


@given(st.integers(-8, 600))
def test_only_four_times_a_power_of_two_is_a_size(size: int) -> None:
    if size in {8, 16, 32, 64, 128, 256, 512}:
        assert 4 * 2 ** doublings(size) == size
    else:
        with pytest.raises(ValueError, match=f"4 times a power of two, at least 8, found {size}"):
            doublings(size)


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["brain-lgg", "paper-chest"])
def test_every_network_fits_the_image(name: str, size: int) -> None:
    configuration = configured(size, name)
    generator = build_generator(configuration).eval()
    encoder = build_encoder(configuration.encoder.channels, generator).eval()
    x = torch.zeros(2, 1, size, size)
    code = encoder(x)
    assert code.shape == (2, generator.z1_size + generator.z2_size)
    assert generator(code).shape == x.shape
    assert encoder.after(encoder.before(x)).shape[2:] == (4, 4)
    assert build_discriminator(configuration).convolutions(x).shape[2:] == (4, 4)


@pytest.mark.parametrize("size", SIZES)
def test_a_run_of_any_size_can_be_opened(size: int, tmp_path: Path) -> None:
    configuration = configured(size)
    run = Run.create(tmp_path, configuration)
    generator = build_generator(configuration)
    encoder = build_encoder(configuration.generator.encoder_channels, generator)
    weights = {f"average.generator.{name}": value for name, value in generator.state_dict().items()}
    weights |= {f"average.encoder.{name}": value for name, value in encoder.state_dict().items()}
    run.checkpoint("generator").parent.mkdir()
    save_file(weights, run.checkpoint("generator"), metadata={"step": "1"})

    opened, opened_encoder = Run.open(tmp_path).generator()
    assert opened_encoder is not None
    for name, value in generator.state_dict().items():
        torch.testing.assert_close(opened.state_dict()[name], value, atol=0, rtol=0)
    assert opened.image_size == size


def test_networks_of_64_pixels_have_the_channels_that_are_stated() -> None:
    configuration = configured(64)
    settings = configuration.generator
    generator = build_generator(configuration)
    assert isinstance(generator, TwoBranchGenerator)
    for branch, channels in (
        (generator.anatomy, settings.channels),
        (generator.pathology, settings.pathology_channels),
    ):
        norms = [module for module in branch.modules() if isinstance(module, nn.BatchNorm2d)]
        assert [norm.num_features for norm in norms] == list(channels)
    assert len(build_discriminator(configuration).convolutions) == 2 * len(settings.discriminator_channels)
