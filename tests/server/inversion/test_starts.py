"""Restarts: what several starts change, and what they leave as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.bundle import LoadedBundle, load_bundle
from medxgan.server.engine.port import InversionState
from medxgan.server.engine.selection import open_engine
from medxgan.server.explanation import Explained
from medxgan.server.images.grey import GreyImage
from medxgan.server.inversion import (
    Inversion,
    InversionOutcome,
    InversionRow,
    InversionSettings,
    Progress,
    Realizations,
)
from medxgan.server.restarts import RESTART_DEVIATION, best, joint_progress, starts
from medxgan.server.scores import probability
from medxgan.v1 import bundle_pb2

SETTINGS = InversionSettings(40, 0.05, 4.0)
NAN = float("nan")


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> LoadedBundle:
    return load_bundle(tiny_bundle)


@pytest.fixture(scope="module")
def explain(ask, bundle):
    """Explains a picture of noise by its number."""

    def explain_picture(number: int, restarts: int, seed: int = 3, maximum_batch: int = 8) -> Explained:
        settings = replace(SETTINGS, restarts=restarts)
        explanation = ask(bundle, lambda model: model.explain(picture(number), settings, seed), maximum_batch)
        return explanation.explained

    return explain_picture


def picture(number: int) -> GreyImage:
    return GreyImage(np.random.default_rng(number).uniform(-1, 1, (32, 32)).astype(np.float32))


def loss(explained: Explained) -> float:
    return SETTINGS.loss(explained.outcome.reconstruction_mse, explained.outcome.classification_loss)


def test_one_start_is_the_inversion_by_its_four_verbs(bundle, explain):
    engine = open_engine(bundle, "cpu", threads=1)
    inversion = Inversion(engine, bundle.description)
    image = {"image": picture(0).levels[None, None], "inverted": np.zeros(1, np.float32)}
    x = engine.run(bundle_pb2.GRAPH_ROLE_PREPROCESS, image)["x"]
    score = probability(float(engine.run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": x})["logit"][0]))
    row, state = inversion.init(x, score, SETTINGS, 3)
    run = engine.start(state)
    while not inversion.terminate(row):
        (row,) = inversion.step([row], run)
    expected = inversion.finish(row, run.state())

    found = explain(0, 1)
    np.testing.assert_array_equal(found.z, expected.z)
    np.testing.assert_array_equal(found.reconstruction, expected.reconstruction)
    np.testing.assert_array_equal(found.negative_realization, expected.negative_realization)
    assert found.outcome == expected.outcome
    assert found.uncertainty is None
    assert found.outcome.difference_spread is None
    engine_score = engine.run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": found.applied_negative[None, None]})["logit"]
    assert found.scores.applied_negative == probability(float(engine_score[0]))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_more_restarts_never_end_with_a_higher_loss(explain, number):
    losses = [loss(explain(number, restarts)) for restarts in (1, 2, 5)]
    assert losses[1] <= losses[0] + 1e-4  # what another batch size does to float32
    assert losses[2] <= losses[1] + 1e-4


def test_the_same_seed_gives_the_same_and_another_seed_another_spread(explain):
    first, again, other = (explain(0, 3, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(again.uncertainty, first.uncertainty)
    np.testing.assert_array_equal(again.z, first.z)
    assert first.outcome.difference_spread == pytest.approx(first.uncertainty.mean())
    assert 0 < first.uncertainty.max() <= 2
    assert np.abs(other.uncertainty - first.uncertainty).max() > 1e-3


def test_restarts_do_not_depend_on_how_many_places_there_are(explain):
    together, by_turns = explain(1, 5, maximum_batch=8), explain(1, 5, maximum_batch=2)
    assert together.outcome.restart == by_turns.outcome.restart
    np.testing.assert_allclose(by_turns.uncertainty, together.uncertainty, atol=1e-4)


def test_there_is_no_uncertainty_where_all_restarts_agree(ask, linear_loaded, linear_engine):
    # The linear generator's loss is convex: every start ends in the one code that there is.
    settings = InversionSettings(500, 0.05, 100.0, restarts=4)
    image = GreyImage(linear_engine.image(0.5, -1.0, 0.25, 2.0, 0.4, 0.3)[0, 0])
    explained = ask(linear_loaded, lambda model: model.explain(image, settings, 1), 8, linear_engine).explained
    assert explained.outcome.difference_spread < 1e-4
    few = ask(linear_loaded, lambda model: model.explain(image, replace(settings, steps=5), 1), 8, linear_engine)
    assert few.explained.outcome.difference_spread > 1e-2


@given(st.integers(0, 2**64 - 1), st.integers(1, 16))
def test_a_start_is_the_same_whatever_comes_after_it(seed, restarts):
    engine_free = InversionRow(replace(SETTINGS, restarts=16))
    state = random_state()
    all_ = starts(engine_free, state, seed)
    some = starts(replace(engine_free, settings=replace(SETTINGS, restarts=restarts)), state, seed)
    assert len(some) == restarts
    for (_, one), (_, other) in zip(some, all_, strict=False):
        np.testing.assert_array_equal(one.z, other.z)
    np.testing.assert_array_equal(all_[0][1].z, state.z)
    assert len({each.z.tobytes() for _, each in all_}) == 16
    assert {each.z.dtype for _, each in all_} == {np.dtype(np.float32)}


def test_restarts_lie_around_the_first_guess():
    state = random_state()
    noise = np.concatenate(
        [each.z - state.z for seed in range(50) for _, each in starts(InversionRow(with_restarts(16)), state, seed)[1:]]
    )
    assert noise.std() == pytest.approx(RESTART_DEVIATION, rel=0.05)
    assert abs(noise.mean()) < 0.05


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0.3, 0.2, 0.4], 1),
        ([0.2, 0.2], 0),
        ([NAN, 0.2, 0.1], 2),
        ([0.2, NAN], 0),
        ([NAN, NAN], 0),
    ],
)
def test_the_lowest_loss_is_the_answer(losses, expected):
    assert best([candidate(each) for each in losses], SETTINGS) == expected


def test_progress_is_that_of_the_slowest_with_the_losses_of_the_best():
    def terminated(row: InversionRow) -> bool:
        return row.converged or row.steps_taken >= row.settings.steps

    begun, worse = InversionRow(SETTINGS, 20, 0.1, 0.2), InversionRow(SETTINGS, 10, 0.3, 0.2)
    waiting, settled = InversionRow(SETTINGS), replace(worse, steps_taken=5, converged=True)
    assert joint_progress([begun], terminated) == begun.progress
    assert joint_progress([worse, begun], terminated) == Progress(10, 40, 0.1, 0.2)
    assert joint_progress([begun, waiting], terminated) == Progress(0, 40, 0.1, 0.2)
    assert joint_progress([begun, settled], terminated) == Progress(20, 40, 0.1, 0.2)
    assert joint_progress([replace(begun, converged=True), settled], terminated) == Progress(20, 40, 0.1, 0.2)


def with_restarts(restarts: int) -> InversionSettings:
    return replace(SETTINGS, restarts=restarts)


def candidate(classification_loss: float) -> Realizations:
    empty = np.zeros((1, 1), np.float32)
    outcome = InversionOutcome(1, False, 0.0, classification_loss)
    return Realizations(empty, empty, empty, empty, 0.5, 0.5, outcome)


def random_state() -> InversionState:
    zero = np.zeros((1, 6), np.float32)
    z = np.random.default_rng(0).standard_normal((1, 6), np.float32)
    one = np.ones(1, np.float32)
    return InversionState(z, zero, zero, one, np.zeros((1, 1, 8, 8), np.float32), one, one, one)
