"""The four verbs of the inversion, on an engine whose answer is known."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.engine.port import FloatArray, InversionState, Losses
from medxgan.server.errors import SettingsError
from medxgan.server.inversion import (
    Inversion,
    InversionRow,
    InversionSettings,
    concatenate,
    resolve_settings,
    select,
)
from medxgan.server.scores import binary_cross_entropy, probability
from medxgan.v1 import explanation_pb2

SETTINGS = InversionSettings(steps=400, learning_rate=0.05, reconstruction_weight=4.0)
CODE = (0.5, -1.0, 0.25, 2.0, 0.4, 0.3)


class ScriptedRun:
    """Gives out total losses from a list, one per block, as class term."""

    def __init__(self, *losses: float) -> None:
        self._losses = list(losses)
        self.blocks: list[int] = []

    def advance(self, steps: int) -> Losses:
        self.blocks.append(steps)
        return Losses(np.zeros(1, np.float32), np.array([self._losses.pop(0)], np.float32))

    def state(self) -> InversionState:
        raise NotImplementedError


def test_finds_the_latent_code_and_takes_the_pathology_out_of_it(linear_engine):
    inversion = Inversion(linear_engine, linear_engine.bundle)
    x = linear_engine.image(*CODE)
    target = probability(float(linear_engine.logit(x)[0]))

    row, state = inversion.init(x, target, SETTINGS, seed=7)
    run = linear_engine.start(state)
    while not inversion.terminate(row):
        (row,) = inversion.step([row], run)
    found = inversion.finish(row, run.state())

    np.testing.assert_allclose(run.state().z[0], CODE, atol=1e-3)
    np.testing.assert_allclose(found.reconstruction, x[0, 0], atol=1e-3)
    np.testing.assert_allclose(found.negative_realization, linear_engine.image(*CODE[:4], 0, 0)[0, 0], atol=1e-3)
    assert found.reconstruction_score == pytest.approx(target, abs=1e-3)
    assert found.negative_realization_score == pytest.approx(0.5, abs=1e-3)
    assert found.outcome.steps_taken == 400
    assert found.outcome.reconstruction_mse < 1e-6
    entropy = -target * np.log(target) - (1 - target) * np.log(1 - target)
    assert found.outcome.classification_loss == pytest.approx(entropy, abs=1e-3)


def test_first_guess_is_drawn_by_the_seed_on_every_platform_alike(linear_engine):
    inversion = Inversion(linear_engine, linear_engine.bundle)
    x = linear_engine.image(*CODE)
    _, state = inversion.init(x, 0.5, SETTINGS, seed=0)
    np.testing.assert_allclose(state.z, [[0, 0, 0, 0, -0.24822916, -0.02676702]], atol=1e-6)
    assert np.any(inversion.init(x, 0.5, SETTINGS, seed=2**64 - 1)[1].z != state.z)
    assert {getattr(state, field.name).dtype for field in fields(state)} == {np.dtype(np.float32)}


def test_first_guess_is_the_encoders_where_there_is_one(linear_engine):
    linear_engine.encoder = True
    _, state = Inversion(linear_engine, linear_engine.bundle).init(linear_engine.image(*CODE), 0.5, SETTINGS, seed=0)
    np.testing.assert_allclose(state.z, [CODE], atol=1e-5)


def test_blocks_end_at_the_rows_checks_and_at_its_last_step(linear_engine):
    inversion = Inversion(linear_engine, linear_engine.bundle)
    run = ScriptedRun(3, 2, 1)
    row = InversionRow(InversionSettings(25, 0.05, 4.0))
    while not inversion.terminate(row):
        (row,) = inversion.step([row], run)
    assert run.blocks == [10, 10, 5]
    assert not row.converged


def test_a_block_ends_where_the_first_of_its_rows_needs_it_to(linear_engine):
    inversion = Inversion(linear_engine, linear_engine.bundle)
    states = [inversion.init(linear_engine.image(*CODE), 0.6, SETTINGS, seed)[1] for seed in range(3)]
    rows = [
        InversionRow(SETTINGS),
        InversionRow(SETTINGS, steps_taken=7),
        InversionRow(InversionSettings(22, 0.05, 4.0), steps_taken=20),
    ]
    rows = inversion.step(rows, linear_engine.start(concatenate(states)))
    assert [row.steps_taken for row in rows] == [2, 9, 22]
    assert [inversion.terminate(row) for row in rows] == [False, False, True]

    rows = inversion.step(rows[:2], linear_engine.start(concatenate(states[:2])))
    assert [row.steps_taken for row in rows] == [3, 10]
    assert [row.checked_loss is None for row in rows] == [True, False]


@pytest.mark.parametrize(
    ("losses", "steps_taken", "converged"),
    [
        pytest.param((1.0, 0.5, 0.4999), 30, True, id="settled"),
        pytest.param((1.0, 0.5, 0.25, 0.125), 40, False, id="still falling when the steps ran out"),
        pytest.param((1.0, 0.5, 0.9, 0.3), 40, False, id="a loss that rises has not settled"),
        pytest.param((1.0, float("nan"), float("nan"), float("nan")), 40, False, id="NaN has not settled"),
    ],
)
def test_converging_is_a_value(linear_engine, losses, steps_taken, converged):
    linear_engine.bundle.inversion.tolerance = 0.01
    inversion = Inversion(linear_engine, linear_engine.bundle)
    row, run = InversionRow(InversionSettings(40, 0.05, 4.0)), ScriptedRun(*losses)
    while not inversion.terminate(row):
        (row,) = inversion.step([row], run)
    assert (row.steps_taken, row.converged) == (steps_taken, converged)


def test_tolerance_zero_takes_all_steps(linear_engine):
    inversion = Inversion(linear_engine, linear_engine.bundle)
    row, run = InversionRow(InversionSettings(40, 0.05, 4.0)), ScriptedRun(1, 1, 1, 1)
    while not inversion.terminate(row):
        (row,) = inversion.step([row], run)
    assert (row.steps_taken, row.converged) == (40, False)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_selecting_rows_and_putting_them_together_again_loses_nothing(indices):
    state = random_state(5)
    again = concatenate([select(state, [index]) for index in indices])
    for field in fields(InversionState):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(state, field.name)[indices])


def test_settings_left_out_are_the_bundles(linear_engine):
    bundle = linear_engine.bundle
    resolved = resolve_settings(explanation_pb2.InversionSettings(steps=7), bundle)
    assert resolved == InversionSettings(7, bundle.inversion.default_learning_rate, 4.0)


@pytest.mark.parametrize(
    ("requested", "field", "expected"),
    [
        ({"steps": 0}, "inversion.steps", "expected 1 to 500, got 0"),
        ({"steps": 9000}, "inversion.steps", "expected 1 to 500, got 9000"),
        ({"learning_rate": 2.0}, "inversion.learning_rate", "expected 0.001 to 0.5, got 2"),
        ({"learning_rate": float("nan")}, "inversion.learning_rate", "expected 0.001 to 0.5, got nan"),
        ({"reconstruction_weight": 0.0}, "inversion.reconstruction_weight", "expected 0.1 to 100, got 0"),
        ({"restarts": 0}, "inversion.restarts", "expected 1 to 16, got 0"),
        ({"restarts": 17}, "inversion.restarts", "expected 1 to 16, got 17"),
    ],
)
def test_settings_outside_the_bundles_range_are_refused(linear_engine, requested, field, expected):
    with pytest.raises(SettingsError) as caught:
        resolve_settings(explanation_pb2.InversionSettings(**requested), linear_engine.bundle)
    assert (caught.value.field, caught.value.expected) == (field, expected)


@given(st.floats(-1e4, 1e4))
def test_scores_neither_overflow_nor_lose_their_symmetry(logit):
    assert probability(logit) + probability(-logit) == pytest.approx(1)
    assert binary_cross_entropy(logit, 1) == pytest.approx(binary_cross_entropy(-logit, 0))


@given(st.floats(-20, 20), st.floats(0, 1))
def test_cross_entropy_from_logits_is_that_of_the_probability(logit, target):
    p = probability(logit)
    assert binary_cross_entropy(logit, target) == pytest.approx(
        -target * np.log(p) - (1 - target) * np.log1p(-p), rel=1e-5, abs=1e-7
    )


def random_state(rows: int) -> InversionState:
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> FloatArray:
        return generator.random((rows, *shape), np.float32)

    return InversionState(draw(6), draw(6), draw(6), draw(), draw(1, 8, 8), draw(), draw(), draw())
