"""Every method of attribution, asked by the real client of a real server with the shipped phantom."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from medxgan.client import (
    AttributionMethod,
    Client,
    IntegratedGradientsSettings,
    InvalidRequestError,
    OcclusionSettings,
)
from medxgan.client.results import QUICK_METHODS, Attribution
from medxgan.server.embedded import EmbeddedServer
from medxgan.training.data import phantoms

MODELS = Path(__file__).parents[2] / "models"
SIZE = 32
STEPS = 30
INTEGRATING = {AttributionMethod.INTEGRATED_GRADIENTS, AttributionMethod.LATENT_INTEGRATED_GRADIENTS}
GENERATING = {method for method in AttributionMethod if method.needs_generator}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with EmbeddedServer(MODELS, "cpu") as server, Client(server.address) as client:
        yield client


@pytest.fixture(scope="module")
def slices() -> list[np.ndarray]:
    """Two slices with a lesion."""
    samples = phantoms(40, seed=11)
    return [samples.images[row] for row in np.flatnonzero(samples.labels)[:2]]


@pytest.fixture(scope="module")
def attributions(client: Client, slices: list[np.ndarray]) -> list[Attribution]:
    return [client.attribute(image, model="phantom", methods=list(AttributionMethod), steps=STEPS) for image in slices]


@pytest.mark.parametrize("method", AttributionMethod)
def test_a_map_is_finite_and_follows_the_image(attributions: list[Attribution], method: AttributionMethod) -> None:
    first, second = (attribution.values[method] for attribution in attributions)
    for values in (first, second):
        assert values.shape == (SIZE, SIZE)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert np.ptp(values) > 0
    assert np.abs(first - second).max() > 0.05 * np.abs(first).max()


def test_the_answer_says_what_was_done(attributions: list[Attribution]) -> None:
    for attribution in attributions:
        assert list(attribution.values) == list(attribution.elapsed_ms) == list(AttributionMethod)
        assert all(milliseconds >= 0 for milliseconds in attribution.elapsed_ms.values())
        assert (attribution.target, attribution.target_class) == (0, "lesion")
        assert attribution.integrated_gradients == IntegratedGradientsSettings(50, -1)
        assert attribution.occlusion == OcclusionSettings(SIZE // 8, SIZE // 16, -1)
        assert attribution.inversion is not None
        assert attribution.inversion.steps == STEPS
        assert attribution.verdict is not None
        assert set(attribution.completeness) == INTEGRATING
        for method, completeness in attribution.completeness.items():
            assert completeness.attributed == pytest.approx(attribution.values[method].sum(), abs=1e-3)
            assert completeness.error == pytest.approx(abs(completeness.attributed - completeness.change), abs=1e-4)


def test_the_difference_map_is_that_of_an_explanation(
    client: Client, slices: list[np.ndarray], attributions: list[Attribution]
) -> None:
    for image, attribution in zip(slices, attributions, strict=True):
        explanation = client.explain(image, model="phantom", steps=STEPS)
        found = attribution.values[AttributionMethod.DIFFERENCE_MAP]
        np.testing.assert_allclose(found, explanation.difference, atol=1e-4)
        np.testing.assert_array_equal(attribution.image, explanation.original)
        assert attribution.verdict is not None
        assert attribution.verdict.status is explanation.verdict.status


def test_more_points_add_up_better(client: Client, slices: list[np.ndarray]) -> None:
    method = AttributionMethod.INTEGRATED_GRADIENTS
    errors = []
    for steps in (2, 300):
        settings = IntegratedGradientsSettings(steps=steps)
        answer = client.attribute(slices[0], model="phantom", methods=[method], integrated_gradients=settings)
        errors.append(answer.completeness[method].error / abs(answer.completeness[method].change))
    assert errors[1] < min(0.02, errors[0])


def test_the_settings_change_the_maps(client: Client, slices: list[np.ndarray]) -> None:
    methods = [AttributionMethod.INTEGRATED_GRADIENTS, AttributionMethod.OCCLUSION]
    plain, chosen = (
        client.attribute(slices[0], model="phantom", methods=methods, integrated_gradients=path, occlusion=windows)
        for path, windows in (
            (IntegratedGradientsSettings(), OcclusionSettings()),
            (IntegratedGradientsSettings(7, 0.5), OcclusionSettings(5, 3, 0.25)),
        )
    )
    assert chosen.integrated_gradients == IntegratedGradientsSettings(7, 0.5)
    assert chosen.occlusion == OcclusionSettings(5, 3, 0.25)
    for method in methods:
        assert np.abs(plain.values[method] - chosen.values[method]).max() > 0.05 * np.abs(plain.values[method]).max()


@pytest.mark.parametrize("methods", [[AttributionMethod.OCCLUSION], list(QUICK_METHODS)])
def test_without_a_method_that_needs_it_nothing_is_inverted(
    client: Client, slices: list[np.ndarray], methods: list[AttributionMethod]
) -> None:
    answer = client.attribute(slices[0], model="phantom", methods=methods)
    assert answer.verdict is None
    assert answer.inversion is None
    assert answer.integrated_gradients is None


def test_a_bundle_without_a_generator_serves_the_other_methods(plain_models: Path, slices: list[np.ndarray]) -> None:
    with EmbeddedServer(plain_models, "cpu") as server, Client(server.address) as client:
        methods = client.model().methods
        assert set(methods) == set(AttributionMethod) - GENERATING
        attribution = client.attribute(slices[0], methods=methods)
        assert all(np.ptp(values) > 0 for values in attribution.values.values())
        assert attribution.inversion is None
        for method in GENERATING:
            with pytest.raises(InvalidRequestError, match="plain/1 does not have") as refused:
                client.attribute(slices[0], methods=[AttributionMethod.GRADIENT, method])
            assert refused.value.field == "methods[1]"
        with pytest.raises(InvalidRequestError, match="plain/1 has no generator") as refused:
            client.explain(slices[0])
        assert refused.value.field == "model"
        assert 0 <= client.classify(slices[0]).probability <= 1
