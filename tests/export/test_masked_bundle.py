"""The masked form as a bundle: its graphs agree with PyTorch, and a server makes every map with them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.masked_networks import SIZE, masked_networks, residual_network

from medxgan.bundle import load_bundle
from medxgan.client import Client, MapKind
from medxgan.export.bundle import export_bundle
from medxgan.server.embedded import EmbeddedServer
from medxgan.training.familiarity import Familiarity, FamiliarityCheck
from medxgan.training.model import TrainedModel
from medxgan.training.networks import CorrectedEncoder, FeatureEncoder, MaskedGenerator, RefinedEncoder
from medxgan.training.preprocessing import Preprocess
from medxgan.v1.bundle_pb2 import InversionSpecification

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tiny_model: TrainedModel) -> TrainedModel:
    """Untrained networks of the masked form."""
    drawn = torch.rand(64, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    encoder, generator, classifier = masked_networks(drawn)
    assert tiny_model.familiarity is not None
    assert tiny_model.inversion is not None
    inversion, image = InversionSpecification(), type(tiny_model.image)()
    inversion.CopyFrom(tiny_model.inversion)
    inversion.pathology_rate = 0.1
    image.CopyFrom(tiny_model.image)
    image.height = image.width = SIZE
    familiarity = Familiarity(SIZE).eval().requires_grad_(False)
    return replace(
        tiny_model,
        preprocess=Preprocess(SIZE, 1, 99, "crop").eval(),
        classifier=classifier,
        generator=generator,
        encoder=encoder,
        image=image,
        inversion=inversion,
        familiarity=FamiliarityCheck(familiarity, tiny_model.familiarity.description),
    )


@pytest.fixture(scope="module")
def models(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    export_bundle(model, folder / "masked" / "1")
    return folder


def test_corrections_of_the_guess_and_passes_are_part_of_the_graph(model: TrainedModel, tmp_path: Path) -> None:
    """Export compares what OPEN finds with `torch.autograd`, and refuses to write another."""
    assert isinstance(model.encoder, FeatureEncoder)
    assert isinstance(model.generator, MaskedGenerator)
    assert model.inversion is not None
    held = InversionSpecification()
    held.CopyFrom(model.inversion)
    held.pathology_rate = 0
    corrected = CorrectedEncoder(model.encoder, model.generator, model.classifier, 2, -3.0)
    residual = residual_network(model.generator, anatomy_alone=True)
    refined = RefinedEncoder(corrected, model.generator, residual, 2)
    export_bundle(replace(model, encoder=refined, inversion=held), tmp_path / "masked" / "1")
    levels = np.random.default_rng(0).integers(0, 4096, (90, 120)).astype(np.uint16)
    with EmbeddedServer(tmp_path, "cpu") as server, Client(server.address) as client:
        explanation = client.explain(levels, maps=[MapKind.ORIGINAL, MapKind.APPLIED_NEGATIVE])
    x = torch.from_numpy(explanation.original.copy())[None, None]
    guessed, found = (
        torch.sigmoid(
            model.classifier((x - model.generator.pathology(z[:, model.generator.z1_size :])[0]).clamp(-1, 1))
        )
        for z in (model.encoder(x), refined(x))
    )
    assert found.item() < guessed.item() - 1e-3
    assert explanation.scores.applied_negative.probability == pytest.approx(found.item(), abs=1e-4)


def test_what_is_served_is_what_the_networks_say(model: TrainedModel, models: Path) -> None:
    assert load_bundle(models / "masked" / "1").description.inversion.pathology_rate == pytest.approx(0.1)
    levels = np.random.default_rng(0).integers(0, 4096, (90, 120)).astype(np.uint16)
    wanted = [MapKind.ORIGINAL, MapKind.RECONSTRUCTION, MapKind.DIFFERENCE, MapKind.GRAD_CAM]
    with EmbeddedServer(models, "cpu") as server, Client(server.address) as client:
        explanation = client.explain(levels, maps=wanted)
    x = torch.from_numpy(explanation.original.copy())[None, None]
    assert model.generator is not None
    score = torch.sigmoid(model.classifier(x)).item()
    assert explanation.scores.original.probability == pytest.approx(score, abs=1e-5)
    # The difference is the pathology branch alone: never darker, and smooth.
    assert explanation.difference.min() >= -1e-6
    assert explanation.difference.max() > 1e-3
    difference = torch.from_numpy(explanation.difference.copy())[None, None]
    assert (difference[..., 1:] - difference[..., :-1]).abs().max() < difference.max() / 2
