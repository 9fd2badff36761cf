"""Every map of the shipped phantom, asked by the real client of a real server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medxgan.client import (
    Client,
    Explanation,
    IntegratedGradientsSettings,
    InvalidRequestError,
    InversionSettings,
    MapForm,
    MapKind,
    MapNeed,
    OcclusionSettings,
    Settings,
    Solver,
    VerdictStatus,
)
from medxgan.server.embedded import EmbeddedServer
from medxgan.training.data import phantoms

MODELS = Path(__file__).parents[2] / "models"
SIZE = 32
WINDOW = 3
"""Side of the residual map's smoothing window: the odd number nearest to 32 / 12."""

INTEGRALS = {MapKind.INTEGRATED_GRADIENTS, MapKind.LATENT_INTEGRATED_GRADIENTS}

EVERYTHING = Settings(inversion=InversionSettings(steps=30, restarts=2))
CHOSEN = Settings(
    target_class="lesion",
    seed=3,
    inversion=InversionSettings(steps=15, learning_rate=0.05, reconstruction_weight=2, restarts=2, solver=Solver.ADAM),
    integrated_gradients=IntegratedGradientsSettings(steps=7, baseline=0.5),
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with EmbeddedServer(MODELS, "cpu") as server, Client(server.address) as client:
        yield client


@pytest.fixture(scope="module")
def slices() -> list[np.ndarray]:
    """Eight slices with a lesion."""
    samples = phantoms(40, seed=11)
    return [samples.images[row] for row in np.flatnonzero(samples.labels)[:8]]


@pytest.fixture(scope="module")
def image(slices: list[np.ndarray]) -> np.ndarray:
    return slices[0]


@pytest.fixture(scope="module")
def explanations(client: Client, slices: list[np.ndarray]) -> list[Explanation]:
    return [
        client.explain(image, model="phantom", maps=list(MapKind), settings=EVERYTHING, trajectory=2)
        for image in slices[:2]
    ]


@pytest.fixture(scope="module")
def needs(client: Client) -> dict[MapKind, tuple[MapNeed, ...]]:
    """What each map needs, as the server says."""
    return {entry.kind: entry.needs for entry in client.model("phantom").maps}


def values(client: Client, image: np.ndarray, kind: MapKind, settings: Settings) -> np.ndarray:
    """One map, from a request of its own."""
    return client.explain(image, model="phantom", maps=[kind], settings=settings)[kind]


@pytest.mark.parametrize("kind", MapKind)
def test_a_map_is_finite_and_follows_the_image(explanations: list[Explanation], kind: MapKind) -> None:
    first, second = (explanation[kind] for explanation in explanations)
    for found in (first, second):
        assert found.shape == ((SIZE, SIZE, 3) if kind is MapKind.COLORIZED else (SIZE, SIZE))
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert np.ptp(found) > 0
    assert np.abs(first - second).max() > 0.05 * np.abs(first).max()


def test_the_answer_says_what_was_done(explanations: list[Explanation]) -> None:
    for explanation in explanations:
        assert list(explanation.maps) == list(MapKind)
        assert all(entry.elapsed_ms >= 0 for entry in explanation.maps.values())
        assert explanation.target is not None
        assert explanation.target.class_name == explanation.settings.target_class == "lesion"
        assert explanation.settings.integrated_gradients == IntegratedGradientsSettings(50, -1)
        assert explanation.settings.occlusion == OcclusionSettings(SIZE // 8, SIZE // 16, -1)
        assert explanation.settings.inversion is not None
        assert explanation.settings.inversion.steps == 30
        assert explanation.verdict.status is not VerdictStatus.NOT_ASSESSED
        assert {kind for kind, entry in explanation.maps.items() if entry.completeness is not None} == INTEGRALS
        for kind in INTEGRALS:
            completeness = explanation.maps[kind].completeness
            assert completeness.attributed == pytest.approx(explanation[kind].sum(), abs=1e-3)
            assert completeness.error == pytest.approx(abs(completeness.attributed - completeness.change), abs=1e-4)


def test_the_logit_of_the_target_is_that_of_the_score(explanations: list[Explanation]) -> None:
    for explanation in explanations:
        assert explanation.target is not None
        probability = 1 / (1 + np.exp(-explanation.target.logit))
        # Two graphs hold the classifier: float32 rounding.
        assert probability == pytest.approx(explanation.scores.original.probability, abs=1e-5)


def test_a_map_is_the_same_alone_as_with_all_the_others(
    client: Client, image: np.ndarray, explanations: list[Explanation]
) -> None:
    for kind in MapKind:
        # To 1e-4 of the largest value: rows beside it in a batch change float32 sums.
        scale = np.abs(explanations[0][kind]).max()
        alone = values(client, image, kind, EVERYTHING)
        np.testing.assert_allclose(alone, explanations[0][kind], atol=1e-4 * scale, err_msg=kind)


def test_a_png_is_the_tensor_to_half_a_level(
    client: Client, image: np.ndarray, explanations: list[Explanation]
) -> None:
    drawn = client.explain(image, model="phantom", maps=list(MapKind), form=MapForm.PNG, settings=EVERYTHING)
    for kind in MapKind:
        scale = drawn.maps[kind].range
        # Half a level, and the 1e-4 that two requests may differ by.
        atol = (scale.maximum - scale.minimum) * (0.5 / 255 + 1e-4)
        np.testing.assert_allclose(drawn[kind], explanations[0][kind], atol=atol, err_msg=kind)


def test_more_points_add_up_better(client: Client, image: np.ndarray) -> None:
    kind = MapKind.INTEGRATED_GRADIENTS
    errors = []
    for steps in (2, 300):
        settings = Settings(integrated_gradients=IntegratedGradientsSettings(steps=steps))
        completeness = client.explain(image, model="phantom", maps=[kind], settings=settings).maps[kind].completeness
        assert completeness is not None
        errors.append(completeness.error / abs(completeness.change))
    assert errors[1] < min(0.02, errors[0])


def test_the_settings_change_the_maps(client: Client, image: np.ndarray) -> None:
    kinds = [MapKind.INTEGRATED_GRADIENTS, MapKind.OCCLUSION]
    wanted = Settings(integrated_gradients=IntegratedGradientsSettings(7, 0.5), occlusion=OcclusionSettings(5, 3, 0.25))
    plain, chosen = (
        client.explain(image, model="phantom", maps=kinds, settings=settings) for settings in (Settings(), wanted)
    )
    assert chosen.settings.integrated_gradients == wanted.integrated_gradients
    assert chosen.settings.occlusion == wanted.occlusion
    for kind in kinds:
        assert np.abs(plain[kind] - chosen[kind]).max() > 0.05 * np.abs(plain[kind]).max()


def test_only_what_needs_an_inversion_inverts(client: Client, image: np.ndarray, needs: dict) -> None:
    plain = [kind for kind in MapKind if MapNeed.INVERSION not in needs[kind]]
    assert MapKind.OCCLUSION in plain
    for maps in (plain, [MapKind.OCCLUSION]):
        answer = client.explain(image, model="phantom", maps=maps)
        assert answer.verdict.status in (VerdictStatus.NOT_ASSESSED, VerdictStatus.NOT_APPLICABLE)
        assert answer.outcome is None
        assert answer.settings.inversion is None
        assert answer.timing.inversion_ms == 0
    assert answer.settings.integrated_gradients is None


@pytest.mark.parametrize("settings", [Settings(), CHOSEN], ids=["defaults", "chosen"])
def test_the_evidence_is_the_product_of_its_factors(
    client: Client, slices: list[np.ndarray], settings: Settings
) -> None:
    for image in slices[:2]:
        residual = values(client, image, MapKind.RESIDUAL, settings)
        integrated = values(client, image, MapKind.INTEGRATED_GRADIENTS, settings)
        found = values(client, image, MapKind.EVIDENCE, settings)
        magnitude = torch.from_numpy(np.abs(integrated))[None, None]
        expected = residual * torch.nn.functional.avg_pool2d(magnitude, WINDOW, 1, WINDOW // 2)[0, 0].numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        np.testing.assert_array_equal(np.sign(found), np.sign(residual))
        assert (found != 0).any()


def test_the_settings_of_both_factors_change_the_evidence(client: Client, image: np.ndarray) -> None:
    few = Settings(inversion=InversionSettings(steps=20))
    plain = values(client, image, MapKind.EVIDENCE, few)
    for settings in (
        Settings(inversion=InversionSettings(steps=1)),
        replace(few, integrated_gradients=IntegratedGradientsSettings(baseline=1)),
    ):
        changed = values(client, image, MapKind.EVIDENCE, settings)
        assert np.abs(changed - plain).max() > 0.05 * np.abs(plain).max()


@pytest.mark.parametrize("kind", [MapKind.EVIDENCE, MapKind.LATENT_INTEGRATED_GRADIENTS])
def test_a_map_states_the_settings_and_the_verdict_of_both_its_parts(
    client: Client, image: np.ndarray, kind: MapKind
) -> None:
    answer = client.explain(image, model="phantom", maps=[kind], settings=CHOSEN)
    residual = client.explain(image, model="phantom", maps=[MapKind.RESIDUAL], settings=CHOSEN)
    assert answer.settings == CHOSEN
    assert residual.settings == replace(CHOSEN, integrated_gradients=None)
    assert answer.verdict == residual.verdict
    assert answer.outcome == residual.outcome
    assert answer.timing.inversion_ms > 0


def test_the_evidence_does_not_depend_on_other_requests(client: Client, slices: list[np.ndarray]) -> None:
    def ask(image: np.ndarray) -> np.ndarray:
        return values(client, image, MapKind.EVIDENCE, Settings(inversion=InversionSettings(steps=20)))

    alone = [ask(image) for image in slices]
    with ThreadPoolExecutor(len(slices)) as callers:
        together = list(callers.map(ask, slices))
    for one, other in zip(alone, together, strict=True):
        # The two factors keep to 1e-4 of their own, whatever shares their batch.
        np.testing.assert_allclose(other, one, atol=1e-3 * np.abs(one).max())


def test_a_bundle_without_a_generator_serves_the_other_maps(plain_models: Path, image: np.ndarray, needs: dict) -> None:
    generating = [kind for kind in MapKind if MapNeed.INVERSION in needs[kind]]
    with EmbeddedServer(plain_models, "cpu") as server, Client(server.address) as client:
        offered = client.model().maps
        assert {entry.kind for entry in offered} == set(MapKind) - set(generating)
        whole = client.explain(image, maps=[entry.kind for entry in offered])
        assert all(np.ptp(whole[kind]) > 0 for kind in whole.maps)
        assert whole.outcome is None
        usual = client.explain(image)
        assert list(usual.maps) == [entry.kind for entry in offered if entry.is_default]
        assert MapKind.GRAD_CAM in usual.maps
        for kind in generating:
            with pytest.raises(InvalidRequestError, match=r"needs a generator, which plain/1 does not have") as refused:
                client.explain(image, maps=[MapKind.GRADIENT, kind])
            assert refused.value.field == "maps[1].kind"
        with pytest.raises(InvalidRequestError, match="plain/1 has no generator") as refused:
            client.explain(image, trajectory=3)
        assert refused.value.field == "trajectory"
        assert 0 <= client.classify(image).score.probability <= 1
