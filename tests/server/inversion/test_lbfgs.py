"""L-BFGS on an engine whose answer is known, beside scipy's on the same function."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from tests.server.linear import LinearEngine

from medxgan.server.engine.port import FloatArray, Losses
from medxgan.server.explanation.scores import logistic
from medxgan.server.inversion.lbfgs import LbfgsRun, LbfgsState, stepped
from medxgan.server.inversion.runs import Runs
from medxgan.server.inversion.solver import Row, Solver, concatenate, select
from medxgan.v1.bundle_pb2 import SOLVER_ADAM, SOLVER_LBFGS

CODE = (0.5, -1.0, 0.25, 2.0, 0.4, 0.3)
WEIGHT = 4.0


def begun(engine, seed: int = 0, rates: Sequence[float] = (0.05,) * 6, target: float = 0.6, by=SOLVER_LBFGS):
    """A row's state, from a code drawn by the seed."""
    z = np.random.default_rng(seed).standard_normal((1, 6), np.float32)
    solver = Solver(engine.bundle.inversion)
    return solver.init(Row(100, WEIGHT), z, engine.image(*CODE), target, np.array([rates], np.float32), by)[1]


def total(losses: Losses) -> FloatArray:
    return WEIGHT * losses.reconstruction + losses.classification


def test_it_finds_the_latent_code_in_far_fewer_steps_than_adam(linear_engine) -> None:
    target = logistic(float(linear_engine.logit(linear_engine.image(*CODE))[0]))
    run = LbfgsRun(linear_engine, begun(linear_engine, target=target))
    losses = run.advance(20)
    np.testing.assert_allclose(run.state().z[0], CODE, atol=1e-3)
    adam = linear_engine.start(begun(linear_engine, target=target, by=SOLVER_ADAM))
    assert total(losses) < total(adam.advance(200))


@pytest.mark.parametrize("seed", range(5))
def test_it_ends_where_scipys_ends(linear_engine, seed: int) -> None:
    state = begun(linear_engine, seed)
    run = linear_engine.start(state)

    def function(z: np.ndarray) -> tuple[float, np.ndarray]:
        losses, gradient = run.gradient(z[np.newaxis].astype(np.float32))
        return float(total(losses)[0]), gradient[0].astype(np.float64)

    wanted = minimize(function, state.z[0].astype(np.float64), jac=True, method="L-BFGS-B")
    found = LbfgsRun(linear_engine, state).advance(40)
    assert total(found)[0] == pytest.approx(wanted.fun, rel=1e-4)


@given(seed=st.integers(0, 2**16), rate=st.floats(1e-3, 10), steps=st.integers(1, 30))
@settings(max_examples=30)
def test_a_step_never_leads_to_a_higher_loss_however_long(seed: int, rate: float, steps: int) -> None:
    engine = LinearEngine()
    run = LbfgsRun(engine, begun(engine, seed, (rate,) * 6))
    before = np.inf
    for count in range(1, steps + 1):
        after = total(run.advance(1))[0]
        assert after <= before
        before = after
        assert run.state().step.tolist() == [count]
    losses, gradient = engine.start(begun(engine, seed)).gradient(run.state().z)
    np.testing.assert_array_equal(total(losses), total(Losses(run.state().reconstruction, run.state().classification)))
    np.testing.assert_array_equal(gradient, run.state().gradient)


def test_the_first_step_is_as_long_as_the_learning_rate_says_and_latents_of_rate_0_stay(linear_engine) -> None:
    state = begun(linear_engine, rates=(0, 0, 0.01, 0.01, 0.001, 0.001))
    run = LbfgsRun(linear_engine, state)
    run.advance(2)
    moved = (run.state().z - state.z)[0]
    assert np.sqrt(np.mean(np.square(moved[2:] / state.learning_rate[0, 2:]))) == pytest.approx(1, rel=1e-4)
    run.advance(20)
    np.testing.assert_array_equal(run.state().z[0, :2], state.z[0, :2])


def test_a_row_does_not_depend_on_its_company(linear_engine) -> None:
    states = [begun(linear_engine, seed, by=by) for seed, by in enumerate([SOLVER_LBFGS, SOLVER_ADAM] * 3)]
    together = Runs(linear_engine, states)
    losses = together.advance(12)
    for row, state in enumerate(states):
        alone = Runs(linear_engine, [state])
        own = alone.advance(12)
        np.testing.assert_array_equal(own.reconstruction, losses.reconstruction[[row]])
        np.testing.assert_array_equal(own.classification, losses.classification[[row]])
        np.testing.assert_array_equal(alone.states([0])[0].z, together.states([row])[row].z)
        assert type(together.states(range(len(states)))[row]) is type(state)


def test_a_row_goes_on_where_it_stopped(linear_engine) -> None:
    whole = LbfgsRun(linear_engine, begun(linear_engine))
    whole.advance(12)
    part = LbfgsRun(linear_engine, begun(linear_engine))
    part.advance(5)
    company = concatenate([begun(linear_engine, 1), part.state()])
    rest = LbfgsRun(linear_engine, company)
    rest.advance(7)
    np.testing.assert_array_equal(select(rest.state(), [1]).z, whole.state().z)


def test_a_place_without_a_loss_is_left(linear_engine) -> None:
    state = LbfgsState.of(replace(begun(linear_engine, by=SOLVER_ADAM)))
    run = linear_engine.start(state)
    state = stepped(state, run.gradient)

    def nowhere(z: FloatArray) -> tuple[Losses, FloatArray]:
        unknown = np.full(len(z), np.nan, np.float32)
        return Losses(unknown, unknown), np.full_like(z, np.nan)

    after = stepped(state, nowhere)
    np.testing.assert_array_equal(after.z, state.z)
    np.testing.assert_array_equal(after.moves, state.moves)
    assert after.length == state.length / 2
    assert np.isfinite(stepped(after, run.gradient).z).all()


def test_no_step_is_refused(linear_engine) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LbfgsRun(linear_engine, begun(linear_engine)).advance(0)
