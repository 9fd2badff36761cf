"""The solver's verbs, on an engine whose answer is known."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.engine.port import FloatArray, InversionState, Losses
from medxgan.server.explanation.scores import logistic
from medxgan.server.inversion.solver import Row, Solver, Start, concatenate, select

CODE = (0.5, -1.0, 0.25, 2.0, 0.4, 0.3)
ROW = Row(400, 4.0)


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


@pytest.fixture
def solver(linear_engine) -> Solver:
    return Solver(linear_engine.bundle.inversion)


def start(solver: Solver, engine, row: Row = ROW, target: float = 0.6, rate: float = 0.05, seed: int = 0) -> Start:
    """A row that starts at a code drawn by the seed."""
    z = np.random.default_rng(seed).standard_normal((1, 6), np.float32)
    return solver.init(row, z, engine.image(*CODE), target, np.full((1, 6), rate, np.float32))


def test_finds_the_latent_code(linear_engine, solver):
    target = logistic(float(linear_engine.logit(linear_engine.image(*CODE))[0]))
    row, state = start(solver, linear_engine, target=target)
    run = linear_engine.start(state)
    while not solver.terminate(row):
        (row,) = solver.step([row], run)
    np.testing.assert_allclose(run.state().z[0], CODE, atol=1e-3)
    assert row.steps_taken == 400
    assert row.reconstruction_mse < 1e-6
    entropy = -target * np.log(target) - (1 - target) * np.log(1 - target)
    assert row.classification_loss == pytest.approx(entropy, abs=1e-3)
    assert row.loss == 4.0 * row.reconstruction_mse + row.classification_loss


def test_a_row_begins_untouched_and_in_float32(linear_engine, solver):
    z = np.arange(6, dtype=np.float64)[np.newaxis]
    rates = np.linspace(0, 0.5, 6)[np.newaxis]
    row, state = solver.init(Row(7, 2.5), z, linear_engine.image(*CODE), 0.25, rates)
    assert (row.steps_taken, row.converged, row.checked_loss) == (0, False, None)
    assert math.isnan(row.loss)
    assert {getattr(state, field.name).dtype for field in fields(state)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(state.z, z)
    np.testing.assert_allclose(state.learning_rate, rates, rtol=1e-7)
    assert not state.first_moment.any()
    assert not state.second_moment.any()
    assert (state.step.tolist(), state.target.tolist(), state.reconstruction_weight.tolist()) == ([0], [0.25], [2.5])


def test_a_latent_with_the_learning_rate_0_stays_to_the_bit(linear_engine, solver):
    z = np.random.default_rng(3).standard_normal((1, 6), np.float32)
    rates = np.array([[0, 0, 0, 0, 0.1, 0.1]], np.float32)
    row, state = solver.init(Row(50, 4.0), z, linear_engine.image(*CODE), 1.0, rates)
    run = linear_engine.start(state)
    while not solver.terminate(row):
        (row,) = solver.step([row], run)
    np.testing.assert_array_equal(run.state().z[:, :4], z[:, :4])
    assert np.all(run.state().z[:, 4:] != z[:, 4:])


def test_blocks_end_at_the_rows_checks_and_at_its_last_step(linear_engine, solver):
    run = ScriptedRun(3, 2, 1)
    row = Row(25, 4.0)
    while not solver.terminate(row):
        (row,) = solver.step([row], run)
    assert run.blocks == [10, 10, 5]
    assert not row.converged


def test_a_block_ends_where_the_first_of_its_rows_needs_it_to(linear_engine, solver):
    states = [start(solver, linear_engine, seed=seed)[1] for seed in range(3)]
    rows = [
        ROW,
        replace(ROW, steps_taken=7),
        Row(22, 4.0, steps_taken=20),
    ]
    rows = solver.step(rows, linear_engine.start(concatenate(states)))
    assert [row.steps_taken for row in rows] == [2, 9, 22]
    assert [solver.terminate(row) for row in rows] == [False, False, True]

    rows = solver.step(rows[:2], linear_engine.start(concatenate(states[:2])))
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
def test_converging_is_a_value(linear_engine, solver, losses, steps_taken, converged):
    linear_engine.bundle.inversion.tolerance = 0.01
    row, run = Row(40, 4.0), ScriptedRun(*losses)
    while not solver.terminate(row):
        (row,) = solver.step([row], run)
    assert (row.steps_taken, row.converged) == (steps_taken, converged)


def test_tolerance_zero_takes_all_steps(linear_engine, solver):
    row, run = Row(40, 4.0), ScriptedRun(1, 1, 1, 1)
    while not solver.terminate(row):
        (row,) = solver.step([row], run)
    assert (row.steps_taken, row.converged) == (40, False)


@pytest.mark.parametrize(
    ("probabilities", "steps_taken", "reached"),
    [
        pytest.param((0.2, 0.74, 0.75), 30, True, id="reached at the third check"),
        pytest.param((0.2, 0.2, 0.2, 0.2), 40, False, id="a loss that has settled short of it goes on"),
        pytest.param((float("nan"),) * 4, 40, False, id="NaN is not it"),
    ],
)
def test_a_row_that_seeks_a_probability_ends_by_its_score(linear_engine, solver, probabilities, steps_taken, reached):
    """With 1 as target the class term is -log of the probability."""
    linear_engine.bundle.inversion.tolerance = 0.5
    row, run = Row(40, 4.0, sought=0.75 - 1e-6), ScriptedRun(*(-np.log(each) for each in probabilities))
    while not solver.terminate(row):
        (row,) = solver.step([row], run)
    assert (row.steps_taken, row.converged) == (steps_taken, reached)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_selecting_rows_and_putting_them_together_again_loses_nothing(indices):
    state = random_state(5)
    again = concatenate([select(state, [index]) for index in indices])
    for field in fields(InversionState):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(state, field.name)[indices])


def random_state(rows: int) -> InversionState:
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> FloatArray:
        return generator.random((rows, *shape), np.float32)

    return InversionState(draw(6), draw(6), draw(6), draw(), draw(1, 8, 8), draw(), draw(6), draw())
