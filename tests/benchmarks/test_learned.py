"""Passes and learned steps descend on what the server itself minimises, and are trained by its gradient."""

from pathlib import Path

import numpy as np
import pytest
import torch
from learned.codes import CodeParts
from learned.courses import by_passes, by_steps
from learned.networks import LearnedStep, ResidualEncoder
from learned.problem import EXCESS_WEIGHT, Problem, Rows
from learned.training import passes_objective, steps_objective

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.server.engine.port import Engine, FloatArray, InversionState
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.explanation.opening import run_open
from medxgan.server.images.film import Film
from medxgan.v1.bundle_pb2 import GRAPH_ROLE_CLOSE

BUNDLE = Path(__file__).parents[2] / "models" / "phantom" / "3"
ROWS = 2


@pytest.fixture(scope="module")
def bundle() -> LoadedBundle:
    return load_bundle(BUNDLE)


@pytest.fixture(scope="module")
def engine(bundle: LoadedBundle) -> Engine:
    return open_engine(bundle, EngineSettings("cpu", 1))


@pytest.fixture(scope="module")
def opened(engine: Engine) -> dict[str, FloatArray]:
    films = np.random.default_rng(0).uniform(0, 255, (ROWS, 40, 40)).astype(np.float32)
    each = [run_open(engine, Film(levels)) for levels in films]
    return {name: np.concatenate([one[name] for one in each]) for name in ("x", "z", "logit")}


@pytest.fixture(scope="module")
def problem(bundle: LoadedBundle) -> Problem:
    return Problem(bundle)


@pytest.fixture(scope="module")
def parts(bundle: LoadedBundle) -> CodeParts:
    return CodeParts.of(bundle.description)


@pytest.fixture
def step(parts: CodeParts, bundle: LoadedBundle) -> LearnedStep:
    return LearnedStep(parts, 3, bundle.description.inversion)


@pytest.fixture(scope="module")
def rows(problem: Problem, opened: dict[str, FloatArray]) -> Rows:
    return problem.rows(torch.from_numpy(opened["x"]))


def test_the_problem_is_the_servers(
    problem: Problem, rows: Rows, engine: Engine, opened: dict[str, FloatArray]
) -> None:
    # Single precision, through some ten layers.
    close_enough = {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(rows.guess, opened["z"], **close_enough)
    np.testing.assert_allclose(rows.wanted, opened["logit"], **close_enough)
    closed = engine.run(GRAPH_ROLE_CLOSE, {"x": opened["x"], "z": opened["z"]})
    for drawn in (problem.drawn(rows, rows.guess), problem.closed(rows, rows.guess)):
        np.testing.assert_allclose(drawn.picture, closed["reconstruction"], **close_enough)
        np.testing.assert_allclose(drawn.logit, closed["reconstruction_logit"], **close_enough)


def test_a_code_is_put_together_as_it_was_taken_apart(parts: CodeParts, bundle: LoadedBundle) -> None:
    z = torch.randn(ROWS, parts.size)
    coarse, grid = parts.split(z)
    assert torch.equal(parts.joined(coarse, grid), z)
    assert parts.z1_size == bundle.description.latent.z1_size
    assert parts.size - parts.z1_size == bundle.description.latent.z2_size


def test_another_form_is_refused(bundle: LoadedBundle) -> None:
    other = type(bundle.description)()
    other.CopyFrom(bundle.description)
    other.provenance.configuration["generator"] = '{"form": "masked"}'
    with pytest.raises(ValueError, match="two-branch form with fine codes, found the form masked"):
        CodeParts.of(other)


def test_passes_begin_at_the_guess_and_learn_from_every_pass(problem: Problem, parts: CodeParts, rows: Rows) -> None:
    encoder = ResidualEncoder(parts)
    for z in by_passes(problem, encoder, rows, 2):
        assert torch.equal(z, rows.guess)
    value, drawn = passes_objective(problem, encoder, 2)(rows)
    assert len(drawn) == 2
    value.backward()
    assert all(weight.grad is not None for weight in encoder.parameters())
    assert encoder.project.weight.grad is not None
    assert encoder.project.weight.grad.abs().sum() > 0


def test_steps_that_have_learned_nothing_are_adams(
    problem: Problem, step: LearnedStep, rows: Rows, engine: Engine, bundle: LoadedBundle
) -> None:
    defaults = bundle.description.inversion
    zeros = np.zeros_like(rows.guess)
    run = engine.start(
        InversionState(
            z=rows.guess.numpy(),
            first_moment=zeros,
            second_moment=zeros,
            step=np.zeros(ROWS, np.float32),
            image=rows.x.numpy(),
            target=rows.wanted.sigmoid().numpy(),
            learning_rate=np.full_like(zeros, defaults.default_learning_rate),
            reconstruction_weight=np.full(ROWS, defaults.default_reconstruction_weight, np.float32),
        )
    )
    for z in by_steps(problem, step, rows):
        run.advance(1)
        # Adam's first step goes by a gradient's sign alone, and some signs are rounding.
        assert np.mean(np.abs(z.numpy() - run.state().z) < 1e-3) > 0.99


def test_steps_are_trained_by_the_gradient_of_the_loss_where_they_lead(
    problem: Problem, parts: CodeParts, rows: Rows, bundle: LoadedBundle
) -> None:
    step = LearnedStep(parts, 1, bundle.description.inversion)
    value, _ = steps_objective(problem, step)(rows)
    (found,) = torch.autograd.grad(value, step.log_diagonal)

    place = rows.guess.clone().requires_grad_()
    drawn = problem.drawn(rows, place)
    (gradient,) = torch.autograd.grad(problem.loss(drawn).sum(), place)
    zeros = torch.zeros_like(gradient)
    move, *_ = step(0, gradient, drawn.losses.detach(), zeros, zeros)
    there = problem.closed(rows, rows.guess + move)
    loss = (problem.loss(there) + EXCESS_WEIGHT * there.excess).mean()
    (expected,) = torch.autograd.grad(loss, step.log_diagonal)
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
