"""Restarts: what several starts change in an explanation, and what they leave as it was."""

from pathlib import Path

import numpy as np
import pytest

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.explanation.explanation import Inverted
from medxgan.server.explanation.scores import logistic
from medxgan.server.images.film import Film
from medxgan.server.inversion.solver import Row, Solver
from medxgan.v1 import bundle_pb2
from medxgan.v1.explanation_pb2 import MAP_KIND_DIFFERENCE, MAP_KIND_UNCERTAINTY

STEPS, RATE, WEIGHT = 40, 0.05, 4.0
CODE = (0.5, -1.0, 0.25, 2.0, 0.4, 0.3)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> LoadedBundle:
    return load_bundle(tiny_bundle)


@pytest.fixture(scope="module")
def invert(explain, bundle):
    """Inverts a picture of noise by its number."""

    def invert_picture(number: int, restarts: int, seed: int = 3, maximum_rows: int = 8) -> Inverted:
        inversion = {"steps": STEPS, "learning_rate": RATE, "reconstruction_weight": WEIGHT, "restarts": restarts}
        return explain(
            bundle, picture(number), [MAP_KIND_DIFFERENCE], maximum_rows, seed=seed, inversion=inversion
        ).inverted

    return invert_picture


def picture(number: int) -> Film:
    return Film(np.random.default_rng(number).uniform(-1, 1, (32, 32)).astype(np.float32))


def loss(inverted: Inverted) -> float:
    return WEIGHT * inverted.reconstruction_mse + inverted.classification_loss


def test_one_start_is_the_inversion_by_its_verbs(bundle, invert):
    engine, solver = open_engine(bundle, EngineSettings("cpu", 1)), Solver(bundle.description.inversion)
    film = {"image": picture(0).levels[None, None], "inverted": np.zeros(1, np.float32), "pixel_aspect": np.ones(1)}
    opened = engine.run(bundle_pb2.GRAPH_ROLE_OPEN, {name: values.astype(np.float32) for name, values in film.items()})
    target = logistic(float(opened["logit"][0]))
    rates = np.full_like(opened["z"], RATE)
    row, state = solver.init(Row(STEPS, WEIGHT), opened["z"], opened["x"], target, rates)
    run = engine.start(state)
    while not solver.terminate(row):
        (row,) = solver.step([row], run)
    closed = engine.run(bundle_pb2.GRAPH_ROLE_CLOSE, {"x": opened["x"], "z": run.state().z})

    found = invert(0, 1)
    np.testing.assert_array_equal(found.z, run.state().z)
    for name in ("reconstruction", "negative_realization", "applied_negative"):
        np.testing.assert_array_equal(getattr(found, name), closed[name][0, 0])
        assert getattr(found, f"{name}_score").probability == logistic(float(closed[f"{name}_logit"][0]))
    assert (found.steps_taken, found.converged) == (row.steps_taken, row.converged)
    assert found.reconstruction_mse == pytest.approx(float(np.square(found.reconstruction - opened["x"][0, 0]).mean()))
    assert found.uncertainty is None
    assert found.difference_spread is None


@pytest.mark.parametrize("number", [0, 1, 2])
def test_more_restarts_never_end_with_a_higher_loss(invert, number):
    losses = [loss(invert(number, restarts)) for restarts in (1, 2, 5)]
    assert losses[1] <= losses[0] + 1e-4  # what another batch size does to float32
    assert losses[2] <= losses[1] + 1e-4


def test_the_same_seed_gives_the_same_and_another_seed_another_spread(invert):
    first, again, other = (invert(0, 3, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(again.uncertainty, first.uncertainty)
    np.testing.assert_array_equal(again.z, first.z)
    assert first.difference_spread == pytest.approx(first.uncertainty.mean())
    assert 0 < first.uncertainty.max() <= 2
    assert np.abs(other.uncertainty - first.uncertainty).max() > 1e-3


def test_restarts_do_not_depend_on_how_many_places_there_are(invert):
    together, by_turns = invert(1, 5, maximum_rows=8), invert(1, 5, maximum_rows=2)
    assert together.restart == by_turns.restart
    # What another batch size does to float32, amplified by Adam over 40 steps.
    np.testing.assert_allclose(by_turns.uncertainty, together.uncertainty, atol=1e-4)


def test_there_is_no_uncertainty_where_all_restarts_agree(explain, linear_loaded, linear_engine):
    """The linear generator's loss is convex: every start ends in the one code that there is."""
    film = Film(linear_engine.image(*CODE)[0, 0])

    def spread(steps: int) -> float:
        inversion = {"steps": steps, "learning_rate": 0.05, "reconstruction_weight": 100, "restarts": 4}
        explanation = explain(
            linear_loaded, film, [MAP_KIND_UNCERTAINTY], engine=linear_engine, seed=1, inversion=inversion
        )
        values = explanation.maps[MAP_KIND_UNCERTAINTY].values
        np.testing.assert_array_equal(values, explanation.inverted.uncertainty)
        return explanation.inverted.difference_spread

    assert spread(500) < 1e-4
    assert spread(5) > 1e-2
