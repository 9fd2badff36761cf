"""Latent integrated gradients as served, against the same integral written out in PyTorch."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch

from medxgan.server.bundle import load_bundle
from medxgan.server.engine.selection import open_engine
from medxgan.server.explainers.attributions import Attributions
from medxgan.server.explainers.settings import resolve_attribution_settings
from medxgan.server.model import ServedModel
from medxgan.training.model import TrainedModel
from medxgan.v1.explanation_pb2 import (
    ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS,
    AttributeRequest,
    IntegratedGradientsSettings,
    InversionSettings,
)

STEPS = 12

TOLERANCE = 1e-3
"""Of the largest magnitude: rounding may put a ReLU on either side of its kink at one of the points."""


@pytest.fixture(scope="module")
def x(tiny_model: TrainedModel) -> np.ndarray:
    """A picture that the generator drew, with noise."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        picture = tiny_model.generator(torch.randn(1, 18, generator=random))
    noisy: np.ndarray = (picture + 0.1 * torch.randn(picture.shape, generator=random)).clamp(-1, 1).numpy()
    return noisy


def served(bundle: Path, x: np.ndarray, steps: int) -> Attributions:
    loaded = load_bundle(bundle)
    request = AttributeRequest(
        integrated_gradients=IntegratedGradientsSettings(steps=steps), inversion=InversionSettings(steps=20)
    )

    async def attribute() -> Attributions:
        model = ServedModel(loaded, open_engine(loaded, "cpu", 1), maximum_batch=5)
        await model.start()
        try:
            settings = resolve_attribution_settings(request, loaded.description)
            return await model.attribute(x, [ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS], settings)
        finally:
            await model.stop()

    return asyncio.run(attribute())


def test_the_served_map_is_that_of_the_integral_written_out(
    tiny_model: TrainedModel, tiny_bundle: Path, x: np.ndarray
) -> None:
    answer = served(tiny_bundle, x, STEPS)
    assert answer.explained is not None
    z = torch.from_numpy(answer.explained.z)
    anatomy, pathology = z[:, :12], z[:, 12:]
    points, weights = np.polynomial.legendre.leggauss(STEPS)
    average = torch.zeros(1, 1, 32, 32)
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
        with torch.no_grad():
            picture = tiny_model.generator(torch.cat([anatomy, float(point) * pathology], 1))
        picture.requires_grad_()
        (gradient,) = torch.autograd.grad(tiny_model.classifier(picture).sum(), picture)
        average += float(weight) * gradient
    with torch.no_grad():
        ends = [tiny_model.generator(torch.cat([anatomy, end * pathology], 1)) for end in (1, 0)]
        change = float(tiny_model.classifier(ends[0]) - tiny_model.classifier(ends[1]))
    expected = (average * (ends[0] - ends[1]))[0, 0].numpy()

    (found,) = answer.maps
    assert np.abs(expected).max() > 1e-4
    assert np.abs(found.values - expected).max() / np.abs(expected).max() <= TOLERANCE
    assert found.completeness is not None
    assert found.completeness.change == pytest.approx(change, abs=1e-4 * max(1, abs(change)))
    assert found.completeness.attributed == pytest.approx(float(expected.sum()), abs=1e-3)


def test_the_verdict_of_an_integral_is_that_of_its_inversion(tiny_bundle: Path, x: np.ndarray) -> None:
    answer = served(tiny_bundle, x, 2)
    assert answer.explained is not None
    assert answer.explained.verdict.status
    assert answer.explained.seconds > 0
