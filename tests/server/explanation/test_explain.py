"""From a film to its explanation, on the linear engine: what is shared, what is decided, and where the time goes."""

import asyncio
import io

import numpy as np
import pytest
from PIL import Image as Picture

from medxgan.server.errors import ImageError, SettingsError
from medxgan.server.explanation.request import resolve_settings
from medxgan.server.explanation.table import MAPS
from medxgan.server.images.film import Film
from medxgan.server.models.served_model import ServedModel
from medxgan.server.stopwatch import Stopwatch
from medxgan.v1.bundle_pb2 import DATA_TYPE_FLOAT32, SOLVER_ADAM
from medxgan.v1.explanation_pb2 import (
    MAP_FORM_PNG,
    MAP_FORM_TENSOR,
    MAP_KIND_DIFFERENCE,
    MAP_KIND_EVIDENCE,
    MAP_KIND_GRADIENT,
    MAP_KIND_INTEGRATED_GRADIENTS,
    MAP_KIND_NEGATIVE_REALIZATION,
    MAP_KIND_OCCLUSION,
    MAP_KIND_ORIGINAL,
    MAP_KIND_RECONSTRUCTION,
    MAP_KIND_RESIDUAL,
    MAP_KIND_UNCERTAINTY,
    ORIENTATION_AS_STORED,
    PROGRESS_PHASE_INVERSION,
    PROGRESS_PHASE_POSITIVE_REALIZATION,
    VERDICT_REASON_CODE_IMAGE_UNFAMILIAR,
    VERDICT_STATUS_NOT_APPLICABLE,
    VERDICT_STATUS_NOT_ASSESSED,
    VERDICT_STATUS_RELIABLE,
    ClassifyRequest,
    ExplainRequest,
    ExplainSettings,
    Image,
    MapKind,
    MapRequest,
    PixelSpacing,
    Tensor,
    TrajectoryRequest,
)

CODE = (0.1, -0.2, 0.25, 0.2, 0.4, 0.3)
"""A code whose image is positive: its logit is 1.4."""


def image(levels: np.ndarray) -> Image:
    levels = levels.reshape(levels.shape[-2:]).astype("<f4")
    return Image(tensor=Tensor(shape=levels.shape, data_type=DATA_TYPE_FLOAT32, data=levels.tobytes()))


def request(film: Image, *kinds: int, form: int = 0, trajectory: int = 0, **settings: object) -> ExplainRequest:
    return ExplainRequest(
        image=film,
        maps=[MapRequest(kind=kind, form=form) for kind in kinds],
        settings=ExplainSettings(**settings),
        trajectory=TrajectoryRequest(frames=trajectory) if trajectory else None,
    )


def values(tensor: Tensor) -> np.ndarray:
    return np.frombuffer(tensor.data, "<f4").reshape(tensor.shape)


@pytest.fixture
def film(linear_engine) -> Image:
    return image(linear_engine.image(*CODE))


def test_pictures_and_evidence_cost_one_inversion(answer, linear_loaded, linear_engine, film) -> None:
    kinds = [kind for kind in MAPS if kind != MAP_KIND_UNCERTAINTY]
    assert {MAP_KIND_DIFFERENCE, MAP_KIND_RESIDUAL, MAP_KIND_EVIDENCE} <= set(kinds)
    wanted = request(film, *kinds, trajectory=3, inversion={"steps": 30})
    response = answer(linear_loaded, wanted, linear_engine)
    assert sum(steps for _, steps in linear_engine.blocks) == 30
    assert response.outcome.steps_taken == 30
    assert [each.kind for each in response.maps] == kinds
    assert len(response.trajectory) == 3
    assert [linear_engine.log.count(graph) for graph in ("open", "close")] == [1, 1]


def test_a_classic_map_alone_costs_no_inversion_and_is_not_assessed(answer, linear_loaded, linear_engine, film) -> None:
    response = answer(linear_loaded, request(film, MAP_KIND_GRADIENT, MAP_KIND_OCCLUSION), linear_engine)
    assert linear_engine.blocks == []
    assert "close" not in linear_engine.log
    assert response.verdict.status == VERDICT_STATUS_NOT_ASSESSED
    for field in ("outcome", "positive_realization"):
        assert not response.HasField(field)
    for field in ("reconstruction", "negative_realization", "applied_negative", "positive_realization"):
        assert not response.scores.HasField(field)
    assert response.scores.original.positive
    assert response.timing.inversion_ms == 0


def test_a_map_asked_for_in_both_forms_is_made_once(answer, linear_loaded, linear_engine, film) -> None:
    def passes(*forms: int) -> int:
        before = linear_engine.passes
        wanted = ExplainRequest(
            image=film, maps=[MapRequest(kind=MAP_KIND_INTEGRATED_GRADIENTS, form=form) for form in forms]
        )
        response = answer(linear_loaded, wanted, linear_engine)
        assert [each.WhichOneof("form") for each in response.maps] == [
            "png" if form == MAP_FORM_PNG else "tensor" for form in forms
        ]
        assert len({(each.range.minimum, each.range.maximum) for each in response.maps}) == 1
        return linear_engine.passes - before

    assert passes(MAP_FORM_TENSOR, MAP_FORM_PNG, MAP_FORM_TENSOR) == passes(MAP_FORM_PNG)


@pytest.mark.parametrize("kind", MAPS, ids=MapKind.Name)
def test_every_map_comes_in_both_forms_over_the_same_range(answer, linear_loaded, linear_engine, film, kind) -> None:
    wanted = ExplainRequest(
        image=film,
        maps=[MapRequest(kind=kind, form=form) for form in (MAP_FORM_TENSOR, MAP_FORM_PNG)],
        settings=ExplainSettings(inversion={"steps": 10, "restarts": 2}, integrated_gradients={"steps": 3}),
    )
    tensor, png = answer(linear_loaded, wanted, linear_engine).maps
    found, (low, high) = values(tensor.tensor), (png.range.minimum, png.range.maximum)
    assert tensor.range == png.range
    stated = MAPS[kind].range
    assert (low, high) == (stated or (-np.abs(found).max(), np.abs(found).max()))
    with Picture.open(io.BytesIO(png.png)) as picture:
        drawn = low + np.asarray(picture, np.float64) / 255 * (high - low)
    np.testing.assert_allclose(drawn, found, atol=(high - low) / 255 / 2 * (1 + 1e-4))


@pytest.mark.parametrize(
    ("threshold", "logit", "positive"),
    [(0.5, 0.0, True), (0.5, -2e-8, False), (0.5, 2e-8, True)],
    ids=["at the threshold", "5e-9 below", "5e-9 above"],
)
def test_the_decision_is_made_once_in_double(
    answer, linear_loaded, linear_engine, film, monkeypatch, threshold, logit, positive
) -> None:
    """The logistic function's slope is 1/4: float32 can tell these logits from 0, but not the scores from 0.5."""
    linear_engine.bundle.classification.decision_threshold = threshold
    monkeypatch.setattr(linear_engine, "logit", lambda x: np.full(len(x), logit, np.float32))
    classified = answer(linear_loaded, ClassifyRequest(image=film), linear_engine)
    assert classified.score.positive is positive
    assert classified.score.probability == pytest.approx(0.5 + logit / 4, abs=1e-12)
    assert classified.predicted_class == ("lesion" if positive else "no lesion")
    explained = answer(linear_loaded, request(film, MAP_KIND_DIFFERENCE, inversion={"steps": 1}), linear_engine)
    for score in ("original", "reconstruction", "negative_realization", "applied_negative"):
        assert getattr(explained.scores, score) == classified.score
    # Image and negative realization have the one score, so that the verdict shows on which side it lies.
    assert (explained.verdict.status == VERDICT_STATUS_NOT_APPLICABLE) is not positive


@pytest.mark.parametrize(
    ("unfamiliarity", "passed"),
    [((0.5, 2.0), (True, True)), ((0.5, 2.25), (True, False)), ((float("nan"), 1.0), (False, True))],
)
@pytest.mark.parametrize("kind", [MAP_KIND_GRADIENT, MAP_KIND_DIFFERENCE], ids=MapKind.Name)
def test_an_image_unlike_those_of_the_training_is_not_explained_as_one(
    answer, linear_loaded, linear_engine, film, unfamiliarity, passed, kind
) -> None:
    for name, maximum in (("contrast", 0.5), ("feature_distance", 2.0)):
        linear_engine.bundle.familiarity.measures.add(name=name, maximum=maximum, description="How unlike it is.")
    linear_engine.unfamiliarity = unfamiliarity
    linear_engine.bundle.classification.decision_threshold = 0.6  # above the negative realization's score, which is 0.5
    response = answer(linear_loaded, request(film, kind, inversion={"steps": 100}), linear_engine)
    classified = answer(linear_loaded, ClassifyRequest(image=film), linear_engine)
    assert classified.familiar == all(passed)
    for checks in (response.image_checks, classified.image_checks):
        assert [(check.name, check.maximum, check.passed) for check in checks] == [
            ("contrast", 0.5, passed[0]),
            ("feature_distance", 2.0, passed[1]),
        ]
        np.testing.assert_allclose([check.measured for check in checks], unfamiliarity)
    if all(passed):
        fine = VERDICT_STATUS_RELIABLE if kind == MAP_KIND_DIFFERENCE else VERDICT_STATUS_NOT_ASSESSED
        assert response.verdict.status == fine
    else:
        assert response.verdict.status == VERDICT_STATUS_NOT_APPLICABLE
        assert [each.code for each in response.verdict.reasons] == [VERDICT_REASON_CODE_IMAGE_UNFAMILIAR]


def test_a_first_guess_is_made_only_of_an_image_that_is_inverted(answer, linear_loaded, linear_engine, film) -> None:
    linear_engine.encoder = True
    requests = ClassifyRequest(image=film), request(film, MAP_KIND_GRADIENT), request(film, MAP_KIND_DIFFERENCE)
    for each in requests:
        answer(linear_loaded, each, linear_engine)
    runs = zip(linear_engine.log, linear_engine.wanted, strict=False)
    opened = [wanted is None or "z" in wanted for role, wanted in runs if role == "open"]
    assert opened == [False, False, True]


def test_without_measures_every_image_is_familiar(answer, linear_loaded, linear_engine, film) -> None:
    response = answer(linear_loaded, ClassifyRequest(image=film), linear_engine)
    assert response.familiar
    assert not response.image_checks


@pytest.mark.parametrize("kinds", [[MAP_KIND_GRADIENT], [MAP_KIND_DIFFERENCE, MAP_KIND_OCCLUSION]])
@pytest.mark.parametrize("trajectory", [0, 3])
def test_the_parts_of_the_timing_add_up(answer, linear_loaded, linear_engine, kinds, trajectory) -> None:
    negative = image(linear_engine.image(*CODE[:4], -0.4, -0.3))
    wanted = request(negative, *kinds, trajectory=trajectory, inversion={"steps": 50})
    timing = answer(linear_loaded, wanted, linear_engine).timing
    inverted = trajectory > 0 or MAP_KIND_DIFFERENCE in kinds
    parts = {
        "queued_ms": True,
        "preprocess_ms": True,
        "inversion_ms": inverted,
        "positive_realization_ms": trajectory > 0,
        "maps_ms": True,
    }
    assert {name: getattr(timing, name) > 0 for name in parts} == parts
    assert sum(getattr(timing, name) for name in parts) == pytest.approx(timing.total_ms)


def test_a_class_is_named_and_the_maps_are_about_it(answer, linear_loaded, linear_engine, film) -> None:
    for name in ("effusion", "clear"):
        linear_engine.bundle.classification.outputs.add(name=name)
    weights = dict(zip(("lesion", "effusion", "clear"), linear_engine.weights, strict=True))
    for name in ("", "lesion", "effusion", "clear"):
        response = answer(linear_loaded, request(film, MAP_KIND_GRADIENT, target_class=name), linear_engine)
        expected = weights[name or "lesion"]
        np.testing.assert_allclose(values(response.maps[0].tensor).ravel(), expected, rtol=1e-6)
        assert response.target.class_name == response.settings.target_class == (name or "lesion")
        assert response.target.logit == pytest.approx(float(expected @ linear_engine.image(*CODE).ravel()), abs=1e-5)
    with pytest.raises(SettingsError, match=r"target_class: expected one of lesion, effusion, clear, got cat"):
        answer(linear_loaded, request(film, MAP_KIND_GRADIENT, target_class="cat"), linear_engine)


def test_the_settings_in_force_are_stated_where_they_were_used(answer, linear_loaded, linear_engine, film) -> None:
    used = {"integrated_gradients": {"steps": 3}, "occlusion": {"window": 5}, "inversion": {"steps": 2}, "seed": 9}

    def stated(*kinds: int) -> ExplainSettings:
        return answer(linear_loaded, request(film, *kinds, **used), linear_engine).settings

    plain = stated(MAP_KIND_GRADIENT)
    assert plain == ExplainSettings(target_class="lesion", seed=9)
    path = stated(MAP_KIND_INTEGRATED_GRADIENTS)
    assert (
        path.integrated_gradients
        == ExplainSettings(integrated_gradients={"steps": 3, "baseline": -1}).integrated_gradients
    )
    assert not path.HasField("occlusion")
    windows = stated(MAP_KIND_OCCLUSION)
    assert windows.occlusion == ExplainSettings(occlusion={"window": 5, "stride": 2, "level": -1}).occlusion
    assert not windows.HasField("inversion")
    inversion = {"steps": 2, "learning_rate": 0.05, "reconstruction_weight": 4, "restarts": 1, "solver": SOLVER_ADAM}
    assert stated(MAP_KIND_DIFFERENCE).inversion == ExplainSettings(inversion=inversion).inversion
    both = stated(MAP_KIND_EVIDENCE)
    assert both.HasField("inversion")
    assert both.HasField("integrated_gradients")


def test_a_request_that_names_no_map_gets_the_pictures(answer, linear_loaded, linear_engine, film) -> None:
    response = answer(linear_loaded, ExplainRequest(image=film), linear_engine)
    assert [each.kind for each in response.maps] == [kind for kind, method in MAPS.items() if method.default]
    by_kind = {each.kind: values(each.tensor) for each in response.maps}
    np.testing.assert_array_equal(by_kind[MAP_KIND_ORIGINAL], linear_engine.image(*CODE)[0, 0])
    difference = by_kind[MAP_KIND_RECONSTRUCTION] - by_kind[MAP_KIND_NEGATIVE_REALIZATION]
    np.testing.assert_array_equal(by_kind[MAP_KIND_DIFFERENCE], difference)
    assert not response.HasField("target"), "no map explains a class of the caller's choice"


def test_the_inversion_finds_the_code_and_the_pathology_is_taken_out_of_it(
    explain, linear_loaded, linear_engine
) -> None:
    code = (0.5, -1.0, 0.25, 2.0, 0.4, 0.3)
    whole = Film(linear_engine.image(*code)[0, 0])
    explanation = explain(linear_loaded, whole, engine=linear_engine, seed=7, inversion={"steps": 400})
    found = explanation.inverted
    np.testing.assert_allclose(found.z[0], code, atol=1e-3)
    np.testing.assert_allclose(found.reconstruction, whole.levels, atol=1e-3)
    negative = linear_engine.image(*code[:4], 0, 0)[0, 0]
    np.testing.assert_allclose(found.negative_realization, negative, atol=1e-3)
    np.testing.assert_allclose(found.applied_negative, negative, atol=1e-3)
    scores = (found.reconstruction_score, found.negative_realization_score, found.applied_negative_score)
    expected = (explanation.opened.score.probability, 0.5, 0.5)
    assert [score.probability for score in scores] == pytest.approx(expected, abs=1e-3)
    assert found.reconstruction_mse < 1e-6


def test_an_inversion_starts_at_the_encoders_guess_where_there_is_one(explain, linear_loaded, linear_engine) -> None:
    linear_engine.encoder = True
    film = Film(linear_engine.image(*CODE)[0, 0])
    one_step = {"steps": 1, "learning_rate": 0.001}
    for seed in (1, 2):
        found = explain(linear_loaded, film, engine=linear_engine, seed=seed, inversion=one_step).inverted
        # Adam's first step moves each latent by no more than the learning rate.
        np.testing.assert_allclose(found.z[0], CODE, atol=0.001 + 1e-5)


@pytest.mark.parametrize("guessed", [True, False])
@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_a_guessed_pathology_may_move_less_than_the_anatomy(
    explain, linear_loaded, linear_engine, rate, guessed
) -> None:
    linear_engine.encoder = guessed
    levels = linear_engine.image(*CODE)[0, 0]
    film = Film(levels + np.linspace(0, 0.4, levels.size, dtype=np.float32).reshape(levels.shape))

    def found(steps: int) -> np.ndarray:
        settings = {"steps": steps, "learning_rate": 0.01}
        return explain(linear_loaded, film, engine=linear_engine, seed=1, inversion=settings).inverted.z[0]

    start = found(2) - found(1)
    linear_loaded.description.inversion.pathology_rate = rate
    slowed = found(2) - found(1)
    z1 = linear_loaded.description.latent.z1_size
    assert np.abs(start[z1:]).max() > 1e-3
    if guessed:
        assert np.abs(slowed[z1:]).max() < (rate + 0.1) * np.abs(start[z1:]).max()
        assert np.abs(slowed[:z1]).max() > 1e-3
    else:
        np.testing.assert_array_equal(slowed, start, "what was drawn by chance moves at the full rate")


def test_the_seed_matters_where_something_is_random_and_repeats(answer, linear_loaded, linear_engine, film) -> None:
    def made(kind: int, seed: int) -> bytes:
        wanted = request(film, kind, seed=seed, inversion={"steps": 20})
        return answer(linear_loaded, wanted, linear_engine).maps[0].tensor.data

    assert made(MAP_KIND_DIFFERENCE, 1) == made(MAP_KIND_DIFFERENCE, 1)
    assert made(MAP_KIND_DIFFERENCE, 1) != made(MAP_KIND_DIFFERENCE, 2)
    assert made(MAP_KIND_OCCLUSION, 1) == made(MAP_KIND_OCCLUSION, 2)


def test_a_stream_tells_of_every_block_and_ends_with_what_explain_says(answer, linear_loaded, linear_engine) -> None:
    linear_engine.bundle.classification.decision_threshold = 0.9999  # λ keeps every search from reaching it
    film = image(linear_engine.image(*CODE))
    wanted = request(film, MAP_KIND_DIFFERENCE, trajectory=2, inversion={"steps": 25, "learning_rate": 0.001})
    *told, last = answer(linear_loaded, wanted, linear_engine, stream=True)
    progress = [each.progress for each in told]
    phases = (PROGRESS_PHASE_INVERSION, PROGRESS_PHASE_POSITIVE_REALIZATION)
    assert [(each.phase, each.steps_taken) for each in progress] == [(p, n) for p in phases for n in range(5, 30, 5)]
    assert {each.steps_total for each in progress} == {25}
    whole = answer(linear_loaded, wanted, linear_engine)
    assert last.result.maps[0].tensor == whole.maps[0].tensor
    assert last.result.outcome == whole.outcome


def test_where_the_maps_lie_is_stated(answer, linear_loaded, linear_engine, film) -> None:
    film.pixel_spacing.CopyFrom(PixelSpacing(row_mm=0.25, column_mm=0.125))
    for each in (request(film, MAP_KIND_GRADIENT), ClassifyRequest(image=film)):
        geometry = answer(linear_loaded, each, linear_engine).geometry
        assert (geometry.rows, geometry.columns, geometry.orientation) == (8, 8, ORIENTATION_AS_STORED)
        box = geometry.box
        assert (box.top, box.left, box.bottom, box.right) == (0, 0, 8, 8)
        assert geometry.pixel_spacing == film.pixel_spacing
        assert (geometry.pixel_aspect, geometry.frame) == (2, 0)
    film.ClearField("pixel_spacing")
    geometry = answer(linear_loaded, ClassifyRequest(image=film), linear_engine).geometry
    assert not geometry.HasField("pixel_spacing")
    assert geometry.pixel_aspect == 1


def test_a_frame_that_the_image_does_not_have_is_refused(answer, linear_loaded, linear_engine, film) -> None:
    film.frame = 2
    with pytest.raises(ImageError, match=r"^image\.frame: .*got 2"):
        answer(linear_loaded, ClassifyRequest(image=film), linear_engine)


def test_the_first_frame_of_one_may_be_named(answer, linear_loaded, linear_engine, film) -> None:
    plain = answer(linear_loaded, ClassifyRequest(image=film), linear_engine)
    film.frame = 1
    assert answer(linear_loaded, ClassifyRequest(image=film), linear_engine).score == plain.score


def test_a_request_waits_until_its_first_block_is_taken(ask, linear_loaded, linear_engine) -> None:
    async def explain_two(model: ServedModel) -> None:
        film = Film(linear_engine.image(*CODE)[0, 0])
        opened = await model.explainer.open(film, Stopwatch())
        settings = resolve_settings(request(image(film.levels), MAP_KIND_DIFFERENCE), linear_loaded.description)
        first, second = Stopwatch(), Stopwatch()
        linear_engine.gate.clear()
        explaining = [
            asyncio.create_task(model.explainer.explain(opened, settings, "caller", each)) for each in (first, second)
        ]
        await asyncio.to_thread(linear_engine.at_gate.wait, 60)
        assert (first.is_waiting, second.is_waiting) == (True, True)
        linear_engine.gate.set()
        while first.is_waiting:
            await asyncio.sleep(0)
        assert len(linear_engine.blocks) < 10, "of the twenty that its hundred steps take"
        assert second.is_waiting, "there is one place in the batch"
        await asyncio.gather(*explaining)
        assert not second.is_waiting

    ask(linear_loaded, explain_two, 1, linear_engine)
