"""The positive realization, found and not found, and the trajectory that leads to it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medxgan.server.bundle import LoadedBundle, load_bundle
from medxgan.server.engine.port import FloatArray
from medxgan.server.engine.selection import open_engine
from medxgan.server.explanation import Explanation, Extent
from medxgan.server.images.grey import GreyImage
from medxgan.server.inversion import InversionSettings, Progress
from medxgan.server.model import ServedModel
from medxgan.server.positive_realization import PositiveSearch, margin
from medxgan.server.scores import probability
from medxgan.v1 import bundle_pb2, explanation_pb2

SETTINGS = InversionSettings(60, 0.1, 4.0)
THRESHOLD = 0.875  # so high that most pictures of the tiny bundle are negative; exact in float32
WITH_END = Extent(positive_realization=True)
RESOLUTION = 1 / 4096

Explain = Callable[..., Explanation]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> LoadedBundle:
    return with_threshold(load_bundle(tiny_bundle), THRESHOLD)


@pytest.fixture(scope="module")
def pictures(tiny_model) -> list[GreyImage]:
    """Pictures of the generator's own world."""
    with torch.no_grad():
        drawn = tiny_model.generator(torch.randn(8, 18, generator=torch.Generator().manual_seed(5))).numpy()
    return [GreyImage(each[0]) for each in drawn]


@pytest.fixture(scope="module")
def explain(ask, bundle, pictures) -> Explain:
    """Explains a picture by its number."""

    def explain_picture(
        number: int, extent: Extent = WITH_END, seed: int = 3, maximum_batch: int = 8, **changed: object
    ) -> Explanation:
        settings = replace(SETTINGS, **changed)
        return ask(bundle, lambda model: model.explain(pictures[number], settings, seed, None, extent), maximum_batch)

    return explain_picture


@pytest.fixture(scope="module")
def negatives(explain) -> dict[int, Explanation]:
    """The explanations of those pictures that start a search: they are negative, and so is their negative realization.

    By the picture's number.
    """
    explanations = {number: explain(number) for number in range(8)}
    return {
        number: each
        for number, each in explanations.items()
        if max(each.explained.scores.original, each.explained.scores.negative_realization) < THRESHOLD
    }


@pytest.fixture(scope="module")
def number(negatives) -> int:
    """One of which a positive realization is found."""
    return next(number for number, each in negatives.items() if each.positive_realization.found)


@pytest.fixture(scope="module")
def score(bundle) -> Callable[[FloatArray], float]:
    """C(G(z)) of one code [1, D], in a batch by itself."""
    engine = open_engine(bundle, "cpu", threads=1)

    def score_code(z: FloatArray) -> float:
        image = engine.run(bundle_pb2.GRAPH_ROLE_GENERATOR, {"z": z})["image"]
        return probability(float(engine.run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": image})["logit"][0]))

    return score_code


def test_what_is_found_is_the_same_patient_called_positive_with_the_least_change(bundle, negatives, score):
    z1 = bundle.description.latent.z1_size
    found = [each for each in negatives.values() if each.positive_realization.found]
    assert len(found) >= 2
    for explanation in found:
        explained, positive = explanation.explained, explanation.positive_realization
        np.testing.assert_array_equal(positive.z[:, :z1], explained.z[:, :z1])
        assert positive.score >= THRESHOLD
        assert positive.score == pytest.approx(score(positive.z), abs=1e-5)
        assert 0 < positive.scale <= 1
        assert 1 <= positive.steps_taken <= SETTINGS.steps
        assert positive.change_mse == pytest.approx(
            np.square(positive.picture - explained.negative_realization).mean(), rel=1e-5
        )
        whole_z2 = (positive.z - explained.negative_z) / positive.scale
        for shorter in (positive.scale - 2 * RESOLUTION, *np.linspace(0, positive.scale, 16, endpoint=False)[1:]):
            z = (explained.negative_z + shorter * whole_z2).astype(np.float32)
            assert score(z) < THRESHOLD + 1e-5, f"{shorter} of the way would do, {positive.scale} was taken"


def test_the_search_ends_as_soon_as_the_margin_is_reached(bundle, negatives, number):
    description = bundle_pb2.Bundle()
    description.CopyFrom(bundle.description)
    description.inversion.check_interval = 1  # blocks of one step, to look in between
    search = PositiveSearch(open_engine(bundle, "cpu", threads=1), description)
    explanation = negatives[number]
    state = search.init(explanation.explained, SETTINGS, 3)
    scores = []
    while not search.terminate(state):
        before = state
        state = search.step(state)
        scores.append(state.score)
        z1 = bundle.description.latent.z1_size
        np.testing.assert_array_equal(state.state.z[:, :z1], explanation.explained.z[:, :z1])
        assert not state.state.first_moment[:, :z1].any()
        assert not state.state.second_moment[:, :z1].any()
        assert np.any(state.state.z[:, z1:] != before.state.z[:, z1:])
    assert explanation.positive_realization.steps_taken == len(scores)
    assert all(each < margin(THRESHOLD) for each in scores[:-1])


def test_the_same_seed_finds_the_same(explain, negatives, number):
    again, by_turns, other = explain(number), explain(number, maximum_batch=1), explain(number, seed=4)
    np.testing.assert_array_equal(again.positive_realization.z, negatives[number].positive_realization.z)
    np.testing.assert_allclose(by_turns.positive_realization.z, again.positive_realization.z, atol=1e-3)
    assert np.any(other.positive_realization.z != again.positive_realization.z)


def test_not_finding_one_is_said_and_the_best_attempt_is_shown(negatives, score):
    failed = [each for each in negatives.values() if not each.positive_realization.found]
    assert failed, "the search succeeds with every picture: the test needs another"
    for explanation in failed:
        positive = explanation.positive_realization
        assert positive.score < THRESHOLD
        assert positive.score == pytest.approx(score(positive.z), abs=1e-5)
        assert (positive.steps_taken, positive.scale) == (SETTINGS.steps, 1)


def test_a_positive_image_ends_in_its_reconstruction(ask, bundle, pictures):
    lenient = with_threshold(bundle, 0.5)
    explanation = ask(lenient, lambda model: model.explain(pictures[2], SETTINGS, 3, None, Extent(frames=3)))
    positive, explained = explanation.positive_realization, explanation.explained
    assert explained.scores.positive
    np.testing.assert_array_equal(positive.picture, explained.reconstruction)
    np.testing.assert_array_equal(positive.z, explained.z)
    assert positive.score == explained.scores.reconstruction >= 0.5
    assert (positive.found, positive.steps_taken, positive.scale) == (True, 0, 1)


def test_a_positive_image_whose_reconstruction_is_not_has_no_positive_end(ask, linear_loaded, linear_engine):
    # With the least weight on the class and few steps the reconstruction stays far from the image.
    linear_engine.bundle.classification.decision_threshold = 0.9
    image = GreyImage(linear_engine.image(0.5, -1, 0.25, 2, 2, 2)[0, 0])
    settings = InversionSettings(1, 0.001, 100.0)
    explanation = ask(linear_loaded, lambda model: model.explain(image, settings, 0, None, WITH_END), 8, linear_engine)
    positive, scores = explanation.positive_realization, explanation.explained.scores
    assert scores.positive
    assert scores.reconstruction < 0.9
    assert not positive.found
    assert (positive.score, positive.steps_taken) == (scores.reconstruction, 0)


def test_nothing_has_to_change_where_the_negative_realization_is_positive(ask, linear_loaded, linear_engine):
    # G(z1, 0) has the logit 0, which is above this threshold; the image itself is below.
    linear_engine.bundle.classification.decision_threshold = 0.4375
    image = GreyImage(linear_engine.image(0.5, -1, 0.25, 2, -0.4, -0.3)[0, 0])
    explanation = ask(linear_loaded, lambda model: model.explain(image, SETTINGS, 3, None, WITH_END), 8, linear_engine)
    positive, explained = explanation.positive_realization, explanation.explained
    assert not explained.scores.positive
    np.testing.assert_array_equal(positive.picture, explained.negative_realization)
    assert (positive.found, positive.steps_taken, positive.scale, positive.change_mse) == (True, 0, 0, 0)


@pytest.fixture
def strict(linear_engine, linear_loaded) -> LoadedBundle:
    """The linear bundle with a threshold that λ keeps every search from reaching."""
    linear_engine.bundle.classification.decision_threshold = 0.9999
    return linear_loaded


def test_progress_of_the_search_is_told_as_a_phase_of_its_own(ask, strict, linear_engine):
    told: list[Progress] = []
    image = GreyImage(linear_engine.image(0.5, -1, 0.25, 2, 0.4, 0.3)[0, 0])
    settings = InversionSettings(25, 0.001, 4.0)
    explanation = ask(strict, lambda model: model.explain(image, settings, 3, told.append, WITH_END), 8, linear_engine)
    phases = [explanation_pb2.PROGRESS_PHASE_INVERSION, explanation_pb2.PROGRESS_PHASE_POSITIVE_REALIZATION]
    assert [(each.phase, each.steps_taken) for each in told] == [(p, n) for p in phases for n in (10, 20, 25)]
    assert not explanation.positive_realization.found
    assert explanation.positive_realization.steps_taken == 25


def test_leaving_ends_the_search_at_the_next_block(ask, strict, linear_engine):
    image = GreyImage(linear_engine.image(0.5, -1, 0.25, 2, 0.4, 0.3)[0, 0])

    async def leave(model: ServedModel) -> None:
        def on_progress(progress: Progress) -> None:
            if progress.phase == explanation_pb2.PROGRESS_PHASE_POSITIVE_REALIZATION and progress.steps_taken == 20:
                asking.cancel()

        settings = InversionSettings(400, 0.001, 4.0)
        asking = asyncio.create_task(model.explain(image, settings, 3, on_progress, WITH_END))
        with pytest.raises(asyncio.CancelledError):
            await asking
        await model.classify(image)

    ask(strict, leave, 8, linear_engine)
    assert linear_engine.blocks == [(1, 10)] * 40 + [(1, 1)] * 20


def test_others_take_their_blocks_between_those_of_a_search(ask, strict, linear_engine):
    image = GreyImage(linear_engine.image(0.5, -1, 0.25, 2, 0.4, 0.3)[0, 0])

    async def beside(model: ServedModel) -> None:
        searching = asyncio.create_task(model.explain(image, InversionSettings(200, 0.001, 4.0), 3, None, WITH_END))
        while (1, 1) not in linear_engine.blocks:
            await asyncio.sleep(0)
        await model.explain(image, InversionSettings(30, 0.001, 4.0), 3)
        assert not searching.done()
        assert (await searching).positive_realization.steps_taken == 200

    ask(strict, beside, 8, linear_engine)


def test_a_trajectory_leads_from_the_negative_realization_to_the_positive_end(explain, number, score):
    explanation = explain(number, Extent(frames=9), maximum_batch=3)
    explained, positive, frames = explanation.explained, explanation.positive_realization, explanation.trajectory
    assert [frame.position for frame in frames] == [index / 8 for index in range(9)]
    np.testing.assert_array_equal(frames[0].picture, explained.negative_realization)
    np.testing.assert_array_equal(frames[-1].picture, positive.picture)
    assert frames[0].score == explained.scores.negative_realization
    assert frames[-1].score == positive.score
    for frame in frames:
        z = explained.negative_z + np.float32(frame.position) * (positive.z - explained.negative_z)
        assert 0 <= frame.score <= 1
        assert frame.score == pytest.approx(score(z), abs=1e-4)
        assert frame.picture.shape == (32, 32)
    assert len(explain(number, Extent(frames=2)).trajectory) == 2


def test_nothing_is_searched_that_was_not_asked_for(explain):
    explanation = explain(0, Extent())
    assert explanation.positive_realization is None
    assert explanation.trajectory == ()
    assert explanation.timing.positive_realization_ms == 0


def with_threshold(bundle: LoadedBundle, threshold: float) -> LoadedBundle:
    description = bundle_pb2.Bundle()
    description.CopyFrom(bundle.description)
    description.classification.decision_threshold = threshold
    return replace(bundle, description=description)
