import pytest
import torch

from medxgan.training.networks import (
    Classifier,
    Discriminator,
    Encoder,
    Generator,
    PlainGenerator,
    ResidualClassifier,
    TwoBranchGenerator,
)

Z1, Z2 = 6, 3


@pytest.fixture
def two_branches() -> TwoBranchGenerator:
    torch.manual_seed(0)
    return TwoBranchGenerator(Z1, Z2, (12, 8), (8, 6)).eval()


def test_the_negative_realization_is_the_anatomy_branch(two_branches: TwoBranchGenerator) -> None:
    z = torch.randn(4, Z1 + Z2)
    torch.testing.assert_close(two_branches.negative(z), torch.tanh(two_branches.anatomy(z[:, :Z1])), atol=0, rtol=0)


@pytest.mark.parametrize("generator", [PlainGenerator(Z1, Z2, (12, 8)), TwoBranchGenerator(Z1, Z2, (12, 8), (8, 6))])
def test_both_pictures_drawn_at_once_are_those_drawn_one_by_one(generator: Generator) -> None:
    z = torch.randn(4, Z1 + Z2)
    picture, negative = generator.eval().realize(z)
    torch.testing.assert_close(picture, generator(z), atol=0, rtol=0)
    torch.testing.assert_close(negative, generator.negative(z), atol=0, rtol=0)


def test_the_pathology_code_changes_the_picture(two_branches: TwoBranchGenerator) -> None:
    z = torch.randn(4, Z1 + Z2)
    assert (two_branches(z) - two_branches.negative(z)).abs().amax((1, 2, 3)).min() > 1e-3


@pytest.mark.parametrize("channels", [(8,), (12, 8), (16, 12, 8)])
def test_channels_set_the_size(channels: tuple[int, ...]) -> None:
    generator = PlainGenerator(Z1, Z2, channels)
    size = 4 * 2 ** len(channels)
    assert generator.image_size == size
    assert generator(torch.randn(2, Z1 + Z2)).shape == (2, 1, size, size)


def test_head_of_features_is_the_classifier() -> None:
    classifier = Classifier(4).eval()
    x = torch.rand(3, 1, 32, 32) * 2 - 1
    features = classifier.features(x)
    assert [tuple(activation.shape) for activation in features] == [
        (3, 4, 32, 32), (3, 8, 16, 16), (3, 16, 8, 8), (3, 16, 4, 4)
    ]  # fmt: skip
    torch.testing.assert_close(classifier.head(features[-1]), classifier(x), atol=0, rtol=0)


def test_only_a_conditional_discriminator_hears_the_class() -> None:
    torch.manual_seed(0)
    x = torch.rand(5, 1, 16, 16)
    for conditional in (True, False):
        discriminator = Discriminator((4, 8), 2 if conditional else 0).eval()
        heard = not torch.equal(discriminator(x, torch.zeros(5)), discriminator(x, torch.ones(5)))
        assert heard is conditional


def test_encoder_gives_a_code_for_each_image() -> None:
    encoder = Encoder(PlainGenerator(Z1, Z2, (8, 6)), (4, 8))
    assert encoder(torch.rand(3, 1, 16, 16)).shape == (3, Z1 + Z2)


@torch.no_grad()
def test_a_fine_code_changes_the_picture_where_it_lies() -> None:
    torch.manual_seed(0)
    generator = TwoBranchGenerator(Z1, Z2, (12, 10, 8, 6), (8, 8, 6, 6), fine_z1=2, fine_z2=1).eval()
    assert (generator.z1_size, generator.z2_size) == (Z1 + 2 * 64, Z2 + 64)
    z = torch.randn(1, generator.z1_size + generator.z2_size)
    places = torch.arange(64).view(8, 8)
    for start in (Z1, Z1 + 64):
        moved = z.clone()
        moved[:, start + places[1, 6]] += 3
        change = (generator(moved) - generator(z))[0, 0].abs()
        assert change.max() > 1e-3
        assert change[:32, 32:].sum() == pytest.approx(change.sum().item(), rel=1e-3)


@torch.no_grad()
def test_the_encoder_finds_a_fine_code_where_it_lies() -> None:
    torch.manual_seed(0)
    generator = TwoBranchGenerator(Z1, Z2, (12, 10, 8, 6), (8, 8, 6, 6), fine_z1=2, fine_z2=1)
    encoder = Encoder(generator, (4, 6, 8, 8)).eval()
    x = torch.zeros(1, 1, 64, 64)
    dotted = x.clone()
    dotted[..., 12, 52] = 1
    change = (encoder(dotted) - encoder(x))[0].abs()
    fine_z1, fine_z2 = change[Z1 : generator.z1_size].view(2, 8, 8), change[generator.z1_size + Z2 :].view(1, 8, 8)
    for fine in (fine_z1, fine_z2):
        assert fine[:, :4, 4:].max() > 1e-4
        assert fine[:, 5:].sum() == fine[:, :, :3].sum() == 0


@torch.no_grad()
def test_behind_a_low_pass_fine_detail_decides_nothing() -> None:
    torch.manual_seed(0)
    sharp = ResidualClassifier((4, 6, 8), image_size=32).eval()
    smooth = ResidualClassifier((4, 6, 8), image_size=32, low_pass=8).eval()
    smooth.load_state_dict(sharp.state_dict())
    x = torch.rand(4, 1, 32, 32) - 0.5
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    detailed = x + 0.5 * (2.0 * ((rows + columns) % 2) - 1)
    changes = [(network(detailed) - network(x)).abs().max() for network in (sharp, smooth)]
    assert changes[1] < changes[0] / 20
    assert (smooth(x + 0.3) - smooth(x)).abs().max() > changes[1], "what is large still counts"
