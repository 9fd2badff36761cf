"""The search for a positive realization as a row of the batch, on an engine whose answer is known."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from medxgan.bundle import LoadedBundle
from medxgan.server.explanation.explain import Progress
from medxgan.server.explanation.explanation import PositiveRealization
from medxgan.server.explanation.positive_realization import margin, positive_realization
from medxgan.server.explanation.request import resolve_settings
from medxgan.server.images.film import Film
from medxgan.server.inversion.batch import Ended
from medxgan.server.inversion.solver import Row, Solver, Start
from medxgan.server.models.replica import LONGEST_BLOCK
from medxgan.server.models.served_model import ServedModel
from medxgan.server.stopwatch import Stopwatch
from medxgan.v1.explanation_pb2 import (
    MAP_KIND_DIFFERENCE,
    MAP_KIND_NEGATIVE_REALIZATION,
    MAP_KIND_POSITIVE_REALIZATION,
    PROGRESS_PHASE_INVERSION,
    PROGRESS_PHASE_POSITIVE_REALIZATION,
    ExplainRequest,
    MapRequest,
)

KINDS = [MAP_KIND_NEGATIVE_REALIZATION, MAP_KIND_POSITIVE_REALIZATION]
NEGATIVE = (0.5, -1, 0.25, 2, -0.4, -0.3)
POSITIVE = (0.5, -1, 0.25, 2, 0.4, 0.3)
SLOW = {"learning_rate": 0.001, "reconstruction_weight": 4}
"""So slow that no search gets anywhere."""


def film(engine, code: Sequence[float]) -> Film:
    return Film(engine.image(*code)[0, 0])


@pytest.fixture
def strict(linear_engine, linear_loaded) -> LoadedBundle:
    """The linear bundle with a threshold that no slow search reaches."""
    linear_engine.bundle.classification.decision_threshold = 0.9999
    return linear_loaded


def test_the_search_finds_the_same_patient_called_positive(explain, linear_loaded, linear_engine) -> None:
    linear_engine.bundle.classification.decision_threshold = 0.6
    explanation = explain(linear_loaded, film(linear_engine, NEGATIVE), KINDS, engine=linear_engine, seed=3)
    inverted, positive = explanation.inverted, explanation.positive_realization
    assert not explanation.opened.score.positive
    assert positive.score.positive
    assert positive.z[:, :4].tobytes() == inverted.z[:, :4].tobytes(), "z1 stays to the bit"
    # To 1 / 4096 of the way, whose logit is linear here: the least that is positive has the threshold's score.
    assert positive.score.probability == pytest.approx(0.6, abs=0.4 / 4096)
    assert 0 < positive.scale < 1
    np.testing.assert_array_equal(explanation.maps[MAP_KIND_POSITIVE_REALIZATION].values, positive.picture)
    change = np.square(positive.picture - inverted.negative_realization).mean()
    assert positive.change_mse == pytest.approx(float(change), rel=1e-6)


def test_the_search_stops_by_its_score_at_a_check_and_not_by_its_loss(explain, linear_loaded, linear_engine) -> None:
    linear_engine.bundle.classification.decision_threshold = 0.6
    linear_engine.bundle.inversion.tolerance = 0.9  # any loss that falls slowly has settled by this
    settings = {"inversion": {"steps": 500, "learning_rate": 0.002}, "seed": 3}
    explanation = explain(linear_loaded, film(linear_engine, NEGATIVE), KINDS, engine=linear_engine, **settings)
    inverted, positive = explanation.inverted, explanation.positive_realization
    assert inverted.converged, "the inversion did settle by its loss"
    assert positive.steps_taken % 10 == 0
    assert 20 < positive.steps_taken < 500
    end = inverted.negative_z + (positive.z - inverted.negative_z) / np.float32(positive.scale)
    logit = float(linear_engine.logit(linear_engine.generate(end))[0])
    assert 1 / (1 + np.exp(-logit)) == pytest.approx(margin(0.6), abs=0.05), "it ended as soon as a check saw it"


def test_the_search_and_inversions_of_others_advance_in_one_block(ask, explaining, strict, linear_engine) -> None:
    """Each ends as it does alone, to the bit."""
    searching_for = film(linear_engine, NEGATIVE)
    steps = {"inversion": SLOW | {"steps": 200}, "seed": 3}

    async def alone(model: ServedModel):
        return (
            await explaining(model, searching_for, KINDS, **steps),
            await explaining(model, film(linear_engine, POSITIVE), [MAP_KIND_DIFFERENCE], inversion={"steps": 60}),
        )

    async def together(model: ServedModel):
        begun = asyncio.Event()

        def on_progress(progress: Progress) -> None:
            if progress.phase == PROGRESS_PHASE_POSITIVE_REALIZATION and progress.steps_taken == 20:
                begun.set()

        searching = asyncio.create_task(explaining(model, searching_for, KINDS, on_progress=on_progress, **steps))
        await begun.wait()
        linear_engine.blocks.clear()
        other = await explaining(model, film(linear_engine, POSITIVE), [MAP_KIND_DIFFERENCE], inversion={"steps": 60})
        assert not searching.done()
        assert linear_engine.blocks.count((2, LONGEST_BLOCK)) == 60 / LONGEST_BLOCK, "one block for both"
        return await searching, other

    expected, found = ask(strict, alone, 8, linear_engine), ask(strict, together, 8, linear_engine)
    for one, both in zip(expected, found, strict=True):
        assert both.inverted.z.tobytes() == one.inverted.z.tobytes()
    searched, alike = (each[0].positive_realization for each in (expected, found))
    assert alike.z.tobytes() == searched.z.tobytes()
    assert (alike.steps_taken, alike.score) == (searched.steps_taken, searched.score) == (200, searched.score)


def test_a_positive_image_whose_reconstruction_is_not_has_no_positive_end(
    explain, linear_loaded, linear_engine
) -> None:
    """With the least weight on the class and one step the reconstruction stays far from the image."""
    linear_engine.bundle.classification.decision_threshold = 0.9
    inversion = {"steps": 1, "learning_rate": 0.001, "reconstruction_weight": 100}
    image = film(linear_engine, (0.5, -1, 0.25, 2, 2, 2))
    explanation = explain(linear_loaded, image, KINDS, engine=linear_engine, inversion=inversion)
    positive = explanation.positive_realization
    assert explanation.opened.score.positive
    assert not explanation.inverted.reconstruction_score.positive
    assert (positive.score, positive.steps_taken) == (explanation.inverted.reconstruction_score, 0)
    assert linear_engine.blocks == [(1, 1)], "no search"


def test_nothing_has_to_change_where_the_negative_realization_is_positive(
    explain, linear_loaded, linear_engine
) -> None:
    """G(z1, 0) has the logit 0, which is above this threshold; the image itself is below."""
    linear_engine.bundle.classification.decision_threshold = 0.4375
    explanation = explain(linear_loaded, film(linear_engine, NEGATIVE), KINDS, engine=linear_engine)
    positive, inverted = explanation.positive_realization, explanation.inverted
    assert not explanation.opened.score.positive
    np.testing.assert_array_equal(positive.picture, inverted.negative_realization)
    assert positive.score.positive
    assert (positive.steps_taken, positive.scale, positive.change_mse) == (0, 0, 0)


def test_nothing_is_searched_that_was_not_asked_for(explain, strict, linear_engine) -> None:
    image = film(linear_engine, NEGATIVE)
    explanation = explain(strict, image, [MAP_KIND_DIFFERENCE], engine=linear_engine, inversion={"steps": 20})
    assert explanation.positive_realization is None
    assert explanation.trajectory == ()
    assert linear_engine.blocks == [(1, LONGEST_BLOCK)] * (20 // LONGEST_BLOCK)


def test_progress_of_the_search_is_told_as_a_phase_of_its_own(explain, strict, linear_engine) -> None:
    told: list[Progress] = []
    inversion = SLOW | {"steps": 25}
    explanation = explain(
        strict, film(linear_engine, POSITIVE), KINDS, engine=linear_engine, on_progress=told.append, inversion=inversion
    )
    phases = [PROGRESS_PHASE_INVERSION, PROGRESS_PHASE_POSITIVE_REALIZATION]
    assert [(each.phase, each.steps_taken) for each in told] == [(p, n) for p in phases for n in range(5, 30, 5)]
    assert {each.steps_total for each in told} == {25}
    assert not explanation.positive_realization.score.positive
    assert explanation.positive_realization.steps_taken == 25


def test_leaving_ends_the_search_at_the_next_block(ask, explaining, strict, linear_engine) -> None:
    image = film(linear_engine, POSITIVE)

    async def leave(model: ServedModel) -> None:
        def on_progress(progress: Progress) -> None:
            if progress.phase == PROGRESS_PHASE_POSITIVE_REALIZATION and progress.steps_taken == 20:
                asking.cancel()

        asking = asyncio.create_task(
            explaining(model, image, KINDS, on_progress=on_progress, inversion=SLOW | {"steps": 400})
        )
        with pytest.raises(asyncio.CancelledError):
            await asking
        await model.networks.draw(np.zeros((1, 6), np.float32))

    ask(strict, leave, 8, linear_engine)
    assert linear_engine.blocks == [(1, LONGEST_BLOCK)] * (420 // LONGEST_BLOCK)


def test_a_search_that_stepped_back_over_the_threshold_goes_on(ask, linear_loaded, linear_engine) -> None:
    """A check sees the picture before the last step."""
    linear_engine.bundle.classification.decision_threshold = 0.6
    away, back = np.float32([[*NEGATIVE[:4], 0.1, 0.1]]), np.float32([[*NEGATIVE[:4], 0.5, 0.5]])
    asked: list[Row] = []

    async def search(model: ServedModel) -> PositiveRealization:
        opened = await model.explainer.open(film(linear_engine, NEGATIVE), Stopwatch())
        request = ExplainRequest(maps=[MapRequest(kind=MAP_KIND_DIFFERENCE)])
        settings = resolve_settings(request, linear_loaded.description)
        inverted = (await model.explainer.explain(opened, settings, "caller", Stopwatch())).inverted

        async def advance(starts: Sequence[Start]) -> list[Ended]:
            ((row, state),) = starts
            asked.append(row)
            z = away if row.steps_taken == 0 else back
            ended = replace(row, steps_taken=row.steps_taken + 10, converged=True)
            return [Ended(ended, replace(state, z=z), 0, 1)]

        solver = Solver(linear_loaded.description.inversion)
        return await positive_realization(
            opened, inverted, settings.inversion, 3, linear_loaded.description, advance, solver, model.networks
        )

    positive = ask(linear_loaded, search, 8, linear_engine)
    assert [(row.steps_taken, row.converged) for row in asked] == [(0, False), (10, False)]
    assert positive.score.positive
    assert positive.steps_taken == 20
