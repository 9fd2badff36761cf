"""Corrections of the pathology: made where evidence is left, and nowhere else."""

from pathlib import Path

import pytest
import torch
from tests.masked_networks import SIZE, masked_networks
from torch import Tensor
from torch.nn import functional

from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.networks import CorrectedEncoder, FeatureEncoder, MaskedGenerator, ResidualClassifier


@pytest.fixture(scope="module")
def networks() -> tuple[FeatureEncoder, MaskedGenerator, ResidualClassifier]:
    networks = masked_networks(pictures(64))
    _, _, classifier = networks
    with torch.no_grad():
        classifier.output.bias.sub_(classifier(pictures(64)).mean())
    return networks


def pictures(count: int) -> Tensor:
    patches = torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    return functional.interpolate(patches, (SIZE, SIZE), mode="bicubic").mul(0.6).clamp(-1, 1)


def left(networks: tuple[FeatureEncoder, MaskedGenerator, ResidualClassifier], x: Tensor, z: Tensor) -> Tensor:
    _, generator, classifier = networks
    return classifier((x - generator(z) + generator.negative(z)).clamp(-1, 1))


def test_evidence_that_is_left_becomes_less_with_every_correction(networks) -> None:
    encoder, generator, classifier = networks
    x = pictures(16)
    logits = left(networks, x, encoder(x))
    limit = logits.median().item()
    too_much = [(logits - limit).clamp_min(0).sum().item()]
    for steps in (1, 2, 4):
        logits = left(networks, x, CorrectedEncoder(encoder, generator, classifier, steps, limit)(x))
        too_much.append((logits - limit).clamp_min(0).sum().item())
    assert too_much == sorted(too_much, reverse=True)
    assert too_much[2] < too_much[0] / 2


def test_images_of_which_nothing_is_left_stay_as_they_were_guessed(networks) -> None:
    encoder, generator, classifier = networks
    x = pictures(16)
    guessed = encoder(x)
    evidence = left(networks, x, guessed)
    limit = evidence.median().item()
    corrected = CorrectedEncoder(encoder, generator, classifier, 2, limit)(x)
    z1, z2 = torch.tensor_split(corrected, [generator.z1_size], 1)
    assert torch.equal(z1, guessed[:, : generator.z1_size])
    moved = (z2 != guessed[:, generator.z1_size :]).any(1)
    assert torch.equal(moved, evidence > limit)


def test_a_row_is_corrected_by_itself(networks) -> None:
    encoder, generator, classifier = networks
    corrected = CorrectedEncoder(encoder, generator, classifier, 2, -5.0)
    x = pictures(3)
    together = corrected(x)
    for row in range(3):
        torch.testing.assert_close(corrected(x[row : row + 1])[0], together[row], atol=1e-5, rtol=1e-4)


def test_corrections_are_for_a_pathology_that_is_held() -> None:
    file = Path(__file__).parents[2] / "training" / "configs" / "chest-rsna.toml"
    stated = load_configuration(file).model_dump()
    assert stated["inversion"]["corrections"] > 0
    stated["inversion"] |= {"pathology_rate": 0.1}
    with pytest.raises(ValueError, match=r"inversion\.corrections"):
        TrainingConfig.model_validate(stated)
