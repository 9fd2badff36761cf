"""The masked form: what its difference can and can't be, and the encoder that reads the pathology off C."""

import pytest
import torch

from medxgan.training.networks import FeatureEncoder, MaskedGenerator, ResidualClassifier
from medxgan.training.networks.spline import binomial_matrix, enlarge, spline_matrix

BOUND = 0.7


@pytest.fixture
def generator() -> MaskedGenerator:
    torch.manual_seed(0)
    made = MaskedGenerator(6, 3, (12, 10, 8, 6), fine_z1=2, fine_z2=3, bound=BOUND).eval()
    # Larger weights than those that training begins with: what holds is to hold for any.
    with torch.no_grad():
        for layer in (made.first, made.second, made.third, made.last):
            layer.weight.mul_(6)
    return made


def code(generator: MaskedGenerator, rows: int = 4) -> torch.Tensor:
    return 2 * torch.randn(rows, generator.z1_size + generator.z2_size)


def test_splines_neither_overshoot_nor_lose_anything() -> None:
    matrix = spline_matrix(8, 32)
    assert matrix.shape == (32, 8)
    assert matrix.min() >= 0
    torch.testing.assert_close(matrix.sum(1), torch.ones(32))
    # A straight line through the coefficients is the same line in the pixels, away from the ends.
    line = matrix @ torch.arange(8.0)
    expected = (torch.arange(32) + 0.5) / 4 - 0.5
    torch.testing.assert_close(line[8:24], expected[8:24])


def test_the_low_pass_lets_no_chequers_through() -> None:
    chequers = (-1.0) ** (torch.arange(16)[:, None] + torch.arange(16))
    left = enlarge(chequers, binomial_matrix(16))
    assert left[1:-1, 1:-1].abs().max() < 1e-6
    torch.testing.assert_close(enlarge(torch.ones(16, 16), binomial_matrix(16)), torch.ones(16, 16))


@torch.no_grad()
def test_without_pathology_it_is_the_negative_realization(generator: MaskedGenerator) -> None:
    z = code(generator)
    healthy = z.clone()
    healthy[:, generator.z1_size :] = 0
    image, negative = generator.realize(healthy)
    assert torch.equal(image, negative)
    torch.testing.assert_close(generator.negative(z), generator.realize(z)[1], atol=0, rtol=0)
    assert not torch.allclose(generator(z), generator.negative(z), atol=0.01)


@torch.no_grad()
def test_the_difference_is_bounded_and_smooth(generator: MaskedGenerator) -> None:
    image, negative = generator.realize(code(generator, 16))
    difference = image - negative
    assert difference.min() > -1e-6
    assert difference.max() < BOUND + 1e-6
    assert difference.max() > 0.3 * BOUND
    assert negative.abs().max() <= 1
    # A uniform cubic B-spline bends by c[k - 1] - 2 c[k] + c[k + 1] a knot: at most 2 * bound / 4**2 a pixel.
    for axis in (2, 3):
        assert difference.diff(n=2, dim=axis).abs().max() <= BOUND / 8 + 1e-6


@torch.no_grad()
def test_pathology_is_local(generator: MaskedGenerator) -> None:
    z2 = torch.zeros(1, generator.z2_size)
    z2[:, 3:].view(1, 3, 8, 8)[:, :, 1, 6] = 3
    added, mask = generator.pathology(z2)
    assert mask.shape == (1, 1, 16, 16)
    assert added[0, 0, :32, 32:].max() > 1e-3
    assert added[0, 0, 40:].abs().max() == added[0, 0, :, :24].abs().max() == 0


@torch.no_grad()
def test_the_encoder_sees_pathology_through_the_classifier_alone() -> None:
    torch.manual_seed(0)
    generator = MaskedGenerator(6, 3, (12, 10, 8, 6), 2, 3, BOUND)
    classifier = ResidualClassifier((4, 6, 8)).eval()
    encoder = FeatureEncoder(generator, classifier, (6, 8), (4, 6, 8, 8)).train()
    x = torch.rand(3, 1, 64, 64) * 2 - 1
    before = {key: value.clone() for key, value in encoder.classifier.state_dict().items()}
    whole = encoder(x)
    assert whole.shape == (3, generator.z1_size + generator.z2_size)
    assert all(torch.equal(value, before[key]) for key, value in encoder.classifier.state_dict().items())

    encoder.eval()
    whole = encoder(x)
    torch.nn.init.zeros_(encoder.classifier.stages[-1].second_norm.weight)
    changed = encoder(x)
    z1 = generator.z1_size
    assert torch.equal(whole[:, :z1], changed[:, :z1])
    assert not torch.equal(whole[:, z1:], changed[:, z1:])


def test_in_training_the_mask_learns_by_its_place_alone(generator: MaskedGenerator) -> None:
    z2 = code(generator)[:, generator.z1_size :]
    for training in (True, False):
        generator.train(training)
        generator.zero_grad()
        generator.pathology(z2)[0].sum().backward()
        moved = generator.last.weight.grad
        assert moved is not None
        assert (moved[0] == 0).all().item() is training
        assert moved[1].abs().max() > 0
    generator.zero_grad()
    generator.pathology(z2)[1].sum().backward()
    moved = generator.last.weight.grad
    assert moved is not None
    assert moved[0].abs().max() > 0
