"""The positive realization, found and not found, and the trajectory that leads to it, on a real bundle."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.server.engine.port import FloatArray
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.explanation.explanation import Explanation
from medxgan.server.explanation.positive_realization import margin
from medxgan.server.explanation.scores import logistic
from medxgan.server.images.film import Film
from medxgan.v1 import bundle_pb2
from medxgan.v1.explanation_pb2 import MAP_KIND_DIFFERENCE, MAP_KIND_POSITIVE_REALIZATION

STEPS = 60
THRESHOLD = 0.95  # so high that most pictures of the tiny bundle are negative
RESOLUTION = 1 / 4096

Explain = Callable[..., Explanation]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> LoadedBundle:
    return with_threshold(load_bundle(tiny_bundle), THRESHOLD)


@pytest.fixture(scope="module")
def pictures(tiny_model) -> list[Film]:
    """Pictures of the generator's own world."""
    with torch.no_grad():
        drawn = tiny_model.generator(torch.randn(8, 18, generator=torch.Generator().manual_seed(5))).numpy()
    return [Film(each[0]) for each in drawn]


@pytest.fixture(scope="module")
def search(explain, bundle, pictures) -> Explain:
    """Explains a picture by its number, up to its positive end."""

    def explain_picture(
        number: int, trajectory: int = 0, seed: int = 3, maximum_rows: int = 8, served: LoadedBundle = bundle
    ) -> Explanation:
        inversion = {"steps": STEPS, "learning_rate": 0.1, "reconstruction_weight": 0.5}
        kinds = [MAP_KIND_DIFFERENCE, MAP_KIND_POSITIVE_REALIZATION]
        return explain(
            served, pictures[number], kinds, maximum_rows, trajectory=trajectory, seed=seed, inversion=inversion
        )

    return explain_picture


@pytest.fixture(scope="module")
def negatives(search) -> dict[int, Explanation]:
    """The explanations of those pictures that start a search: they are negative, and so is their negative realization.

    By the picture's number.
    """
    explanations = {number: search(number) for number in range(8)}
    return {
        number: each
        for number, each in explanations.items()
        if not each.opened.score.positive and not each.inverted.negative_realization_score.positive
    }


@pytest.fixture(scope="module")
def number(negatives) -> int:
    """One of which a positive realization is found."""
    return next(number for number, each in negatives.items() if each.positive_realization.score.positive)


@pytest.fixture(scope="module")
def score(bundle) -> Callable[[FloatArray], float]:
    """C(G(z)) of one code [1, D], in a batch by itself."""
    engine = open_engine(bundle, EngineSettings("cpu", 1))

    def score_code(z: FloatArray) -> float:
        return logistic(float(engine.run(bundle_pb2.GRAPH_ROLE_GENERATOR, {"z": z}, ["logit"])["logit"][0]))

    return score_code


def test_what_is_found_is_the_same_patient_called_positive_with_the_least_change(bundle, negatives, score):
    z1 = bundle.description.latent.z1_size
    found = [each for each in negatives.values() if each.positive_realization.score.positive]
    assert found, "the search fails with every picture: the test needs another"
    for explanation in found:
        inverted, positive = explanation.inverted, explanation.positive_realization
        np.testing.assert_array_equal(positive.z[:, :z1], inverted.z[:, :z1])
        assert positive.score.probability >= THRESHOLD
        assert positive.score.probability == pytest.approx(score(positive.z), abs=1e-5)
        assert 0 < positive.scale <= 1
        assert 1 <= positive.steps_taken <= STEPS
        assert positive.change_mse == pytest.approx(
            np.square(positive.picture - inverted.negative_realization).mean(), rel=1e-5
        )
        np.testing.assert_array_equal(explanation.maps[MAP_KIND_POSITIVE_REALIZATION].values, positive.picture)
        whole_z2 = (positive.z - inverted.negative_z) / positive.scale
        for shorter in (positive.scale - 2 * RESOLUTION, *np.linspace(0, positive.scale, 16, endpoint=False)[1:]):
            z = (inverted.negative_z + shorter * whole_z2).astype(np.float32)
            assert score(z) < THRESHOLD + 1e-5, f"{shorter} of the way would do, {positive.scale} was taken"


def test_the_search_looks_at_its_score_once_a_block_and_ends_beyond_the_margin(negatives, bundle, score):
    interval = bundle.description.inversion.check_interval
    for explanation in negatives.values():
        inverted, positive = explanation.inverted, explanation.positive_realization
        if positive.steps_taken < STEPS:
            assert positive.steps_taken % interval == 0
            whole = inverted.negative_z + (positive.z - inverted.negative_z) / np.float32(positive.scale)
            # The check saw the code before the last of the steps.
            assert score(whole) > margin(THRESHOLD) - 0.05


def test_the_same_seed_finds_the_same(search, negatives, number):
    again, by_turns, other = search(number), search(number, maximum_rows=1), search(number, seed=4)
    np.testing.assert_array_equal(again.positive_realization.z, negatives[number].positive_realization.z)
    # What another batch size does to float32, amplified by Adam over the steps.
    np.testing.assert_allclose(by_turns.positive_realization.z, again.positive_realization.z, atol=1e-3)
    assert np.any(other.positive_realization.z != again.positive_realization.z)


def test_not_finding_one_is_said_and_where_it_ended_is_shown(negatives, score):
    failed = [each.positive_realization for each in negatives.values() if not each.positive_realization.score.positive]
    assert failed, "the search succeeds with every picture: the test needs another"
    for positive in failed:
        assert positive.score.probability < THRESHOLD
        assert positive.score.probability == pytest.approx(score(positive.z), abs=1e-5)
        assert (positive.steps_taken, positive.scale) == (STEPS, 1)


def test_a_positive_image_ends_in_its_reconstruction(search, bundle):
    explanation = search(2, trajectory=3, served=with_threshold(bundle, 0.5))
    positive, inverted = explanation.positive_realization, explanation.inverted
    assert explanation.opened.score.positive
    np.testing.assert_array_equal(positive.picture, inverted.reconstruction)
    np.testing.assert_array_equal(positive.z, inverted.z)
    assert positive.score == inverted.reconstruction_score
    assert positive.score.positive
    assert (positive.steps_taken, positive.scale) == (0, 1)


def test_a_trajectory_leads_from_the_negative_realization_to_the_positive_end(search, number, score):
    explanation = search(number, trajectory=9, maximum_rows=3)
    inverted, positive, frames = explanation.inverted, explanation.positive_realization, explanation.trajectory
    assert [frame.position for frame in frames] == [index / 8 for index in range(9)]
    np.testing.assert_array_equal(frames[0].picture, inverted.negative_realization)
    np.testing.assert_array_equal(frames[-1].picture, positive.picture)
    assert frames[0].score == inverted.negative_realization_score
    assert frames[-1].score == positive.score
    for frame in frames:
        z = inverted.negative_z + np.float32(frame.position) * (positive.z - inverted.negative_z)
        assert frame.score.probability == pytest.approx(score(z), abs=1e-4)
        assert frame.score.positive == (frame.score.probability >= THRESHOLD)
        assert frame.picture.shape == (32, 32)
    assert len(search(number, trajectory=2).trajectory) == 2


def with_threshold(bundle: LoadedBundle, threshold: float) -> LoadedBundle:
    description = bundle_pb2.Bundle()
    description.CopyFrom(bundle.description)
    description.classification.decision_threshold = threshold
    return replace(bundle, description=description)
