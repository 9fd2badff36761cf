"""Explanations of a real server with a real bundle, asked over gRPC."""

import io
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from PIL import Image as PillowImage
from tests.end_to_end.conftest import Serving
from tests.end_to_end.explaining import RANGES, SIZE, array, arrays, inverting

from medxgan.v1.bundle_pb2 import SOLVER_ADAM, SOLVER_LBFGS, Solver
from medxgan.v1.explanation_pb2 import (
    MAP_FORM_PNG,
    MAP_FORM_TENSOR,
    MAP_KIND_APPLIED_NEGATIVE,
    MAP_KIND_COLORIZED,
    MAP_KIND_EVIDENCE,
    MAP_KIND_GRAD_CAM,
    MAP_KIND_GRADIENT,
    MAP_KIND_GUIDED_BACKPROPAGATION,
    MAP_KIND_NEGATIVE_REALIZATION,
    MAP_KIND_ORIGINAL,
    MAP_KIND_POSITIVE_REALIZATION,
    MAP_KIND_RECONSTRUCTION,
    MAP_KIND_RESIDUAL,
    MAP_KIND_UNCERTAINTY,
    MAP_KIND_UNSPECIFIED,
    PROGRESS_PHASE_INVERSION,
    VERDICT_STATUS_NOT_APPLICABLE,
    VERDICT_STATUS_NOT_ASSESSED,
    VERDICT_STATUS_UNSPECIFIED,
    ExplainRequest,
    ExplainSettings,
    Image,
    InversionSettings,
    MapKind,
    MapRequest,
    TrajectoryRequest,
)
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub


def test_an_explanation_is_whole(stub: ExplanationServiceStub, image: Image, tiny_bundle: Path) -> None:
    response = stub.Explain(ExplainRequest(image=image, settings=ExplainSettings(seed=5)))
    description = json.loads((tiny_bundle / "bundle.json").read_text())
    assert (response.model.name, response.model.version) == ("tiny", "1")
    assert len(response.model.bundle_sha256) == 64
    assert (response.execution.provider, response.execution.requested) == ("CPUExecutionProvider", "cpu")
    assert not response.execution.fallback
    settings = response.settings
    assert settings.inversion.steps == description["inversion"]["default_steps"]
    assert settings.inversion.learning_rate == description["inversion"]["default_learning_rate"]
    assert settings.inversion.HasField("reconstruction_weight")
    assert (settings.seed, settings.target_class) == (5, "lesion")
    assert not settings.HasField("integrated_gradients"), "no map asked for used them"
    scores = response.scores
    for score in (scores.original, scores.reconstruction, scores.negative_realization, scores.applied_negative):
        assert 0 <= score.probability <= 1
        assert score.positive == (score.probability >= scores.decision_threshold)
    assert scores.decision_threshold == 0.5
    assert response.verdict.status not in (VERDICT_STATUS_UNSPECIFIED, VERDICT_STATUS_NOT_ASSESSED)
    assert 1 <= response.outcome.steps_taken <= settings.inversion.steps
    assert [map_.kind for map_ in response.maps] == list(RANGES)
    for map_, values in zip(response.maps, arrays(response), strict=True):
        assert values.shape == ((SIZE, SIZE, 3) if map_.kind == MAP_KIND_COLORIZED else (SIZE, SIZE))
        low, high = RANGES[map_.kind]
        assert (map_.range.minimum, map_.range.maximum) == (low, high)
        assert values.min() >= low - 1e-6  # float32 rounding of a saturated tanh
        assert values.max() <= high + 1e-6
    _, reconstruction, negative, difference, _ = arrays(response)
    np.testing.assert_allclose(difference, reconstruction - negative, atol=1e-6)
    timing = response.timing
    parts = timing.queued_ms + timing.preprocess_ms + timing.inversion_ms + timing.maps_ms
    assert timing.total_ms == pytest.approx(parts, rel=1e-6)
    assert timing.inversion_ms > 0
    assert not response.outcome.HasField("difference_spread")
    assert not response.scores.HasField("positive_realization")
    assert not response.HasField("positive_realization")
    assert not response.HasField("target")
    assert not response.trajectory


def test_all_that_can_be_asked_for_beyond_the_usual(stub: ExplanationServiceStub, image: Image) -> None:
    kinds = [kind for kind in MapKind.values() if kind != MAP_KIND_UNSPECIFIED]
    request = ExplainRequest(
        image=image,
        settings=ExplainSettings(seed=5, inversion=InversionSettings(steps=20, restarts=3)),
        maps=[MapRequest(kind=kind) for kind in kinds],
        trajectory=TrajectoryRequest(frames=4, form=MAP_FORM_PNG),
    )
    *progress, last = stub.ExplainStream(request)
    response = last.result
    maps = dict(zip(kinds, arrays(response), strict=True))
    assert response.settings.inversion.restarts == 3
    assert response.settings.integrated_gradients.steps == 50
    assert response.settings.occlusion.window == SIZE // 8
    assert 0 <= response.outcome.restart < 3
    difference = maps[MAP_KIND_RECONSTRUCTION] - maps[MAP_KIND_NEGATIVE_REALIZATION]
    np.testing.assert_allclose(
        maps[MAP_KIND_APPLIED_NEGATIVE], np.clip(maps[MAP_KIND_ORIGINAL] - difference, -1, 1), atol=1e-6
    )
    assert 0 <= response.scores.applied_negative.probability <= 1
    assert maps[MAP_KIND_UNCERTAINTY].min() >= 0
    assert response.outcome.difference_spread == pytest.approx(maps[MAP_KIND_UNCERTAINTY].mean(), rel=1e-4)
    positive = response.positive_realization
    assert response.scores.HasField("positive_realization")
    assert positive.found == response.scores.positive_realization.positive
    change = np.square(maps[MAP_KIND_POSITIVE_REALIZATION] - maps[MAP_KIND_NEGATIVE_REALIZATION]).mean()
    assert positive.change_mse == pytest.approx(change, rel=1e-4, abs=1e-9)
    frames = response.trajectory
    assert [frame.position for frame in frames] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert frames[0].score == response.scores.negative_realization
    assert frames[-1].score == response.scores.positive_realization
    for frame, kind in ((frames[0], MAP_KIND_NEGATIVE_REALIZATION), (frames[-1], MAP_KIND_POSITIVE_REALIZATION)):
        levels = np.asarray(PillowImage.open(io.BytesIO(frame.png)))
        np.testing.assert_allclose(levels / 127.5 - 1, maps[kind], atol=1 / 255 + 1e-5)
    timing = response.timing
    parts = timing.queued_ms + timing.preprocess_ms + timing.inversion_ms + timing.maps_ms
    assert timing.total_ms == pytest.approx(parts + timing.positive_realization_ms, rel=1e-3)
    phases = [message.progress.phase for message in progress]
    assert phases == sorted(phases)
    assert phases[0] == PROGRESS_PHASE_INVERSION


def test_pictures_and_evidence_come_from_one_inversion(stub: ExplanationServiceStub, image: Image) -> None:
    settings = inverting(steps=20, restarts=2)
    kinds = [MAP_KIND_RECONSTRUCTION, MAP_KIND_RESIDUAL, MAP_KIND_EVIDENCE]
    together = stub.Explain(ExplainRequest(image=image, settings=settings, maps=[MapRequest(kind=k) for k in kinds]))
    assert together.outcome.steps_taken == 20
    for kind, values in zip(kinds, arrays(together), strict=True):
        alone = stub.Explain(ExplainRequest(image=image, settings=settings, maps=[MapRequest(kind=kind)]))
        np.testing.assert_array_equal(arrays(alone)[0], values)


def test_no_uncertainty_without_restarts(stub: ExplanationServiceStub, image: Image) -> None:
    wanted = [MapRequest(kind=MAP_KIND_ORIGINAL), MapRequest(kind=MAP_KIND_UNCERTAINTY)]
    for settings in (ExplainSettings(), inverting(restarts=1)):
        request = ExplainRequest(image=image, maps=wanted, settings=settings)
        assert refused_field(stub, request) == "settings.inversion.restarts"


def test_more_restarts_than_the_batch_has_places_for_take_turns(models: Path, serving: Serving, image: Image) -> None:
    with serving(models, maximum_batch=2, maximum_waiting=1) as channel:
        request = ExplainRequest(image=image, settings=inverting(steps=5, restarts=4))
        assert ExplanationServiceStub(channel).Explain(request).outcome.HasField("difference_spread")


def refused_field(stub: ExplanationServiceStub, request: ExplainRequest) -> str:
    """The field that the server names as wrong."""
    with pytest.raises(grpc.RpcError) as refusal:
        stub.Explain(request)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = status_pb2.Status.FromString(dict(refusal.value.trailing_metadata())["grpc-status-details-bin"])
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    return bad.field_violations[0].field


def test_maps_come_in_the_order_and_form_asked_for(stub: ExplanationServiceStub, image: Image) -> None:
    wanted = [
        MapRequest(kind=MAP_KIND_COLORIZED, form=MAP_FORM_PNG),
        MapRequest(kind=MAP_KIND_ORIGINAL, form=MAP_FORM_TENSOR),
        MapRequest(kind=MAP_KIND_ORIGINAL, form=MAP_FORM_PNG),
    ]
    colorized, tensor, png = stub.Explain(ExplainRequest(image=image, maps=wanted)).maps
    assert PillowImage.open(io.BytesIO(colorized.png)).size == (SIZE, SIZE)
    levels = np.asarray(PillowImage.open(io.BytesIO(png.png)))
    np.testing.assert_allclose(
        levels, (array(tensor.tensor) + 1) / 2 * 255, atol=0.5 + 1e-3
    )  # half a level of rounding


def test_settings_that_the_caller_chose_are_in_force(stub: ExplanationServiceStub, image: Image) -> None:
    chosen = InversionSettings(steps=7, learning_rate=0.05, reconstruction_weight=2, restarts=2, solver=SOLVER_LBFGS)
    response = stub.Explain(ExplainRequest(image=image, settings=ExplainSettings(inversion=chosen)))
    assert response.settings.inversion == chosen
    assert response.outcome.steps_taken == 7


def test_a_stream_tells_its_progress_and_ends_with_the_same_explanation(
    stub: ExplanationServiceStub, image: Image
) -> None:
    request = ExplainRequest(image=image, settings=inverting(steps=25))
    *progress, last = stub.ExplainStream(request)
    taken = [message.progress.steps_taken for message in progress]
    assert taken == sorted(set(taken))
    assert all(message.progress.steps_total == 25 for message in progress)
    assert all(message.progress.reconstruction_mse > 0 for message in progress)
    assert last.WhichOneof("event") == "result"
    assert taken[-1] == last.result.outcome.steps_taken
    for streamed, plain in zip(arrays(last.result), arrays(stub.Explain(request)), strict=True):
        np.testing.assert_array_equal(streamed, plain)


@pytest.mark.parametrize("solvers", [[SOLVER_ADAM], [SOLVER_LBFGS], [SOLVER_ADAM, SOLVER_LBFGS]])
def test_an_explanation_does_not_depend_on_its_batch(
    stub: ExplanationServiceStub, images: list[Image], solvers: list[Solver]
) -> None:
    # Steps amplify what another batch size does to the last digit, those of an untrained network above all.
    requests = [
        ExplainRequest(image=image, settings=ExplainSettings(inversion=InversionSettings(steps=5, solver=solver)))
        for image, solver in zip(images, itertools.cycle(solvers), strict=False)
    ]
    alone = [stub.Explain(request) for request in requests]
    with ThreadPoolExecutor(len(images)) as callers:
        together = list(callers.map(stub.Explain, requests))
    for one, other in zip(alone, together, strict=True):
        for map_alone, map_together in zip(arrays(one), arrays(other), strict=True):
            np.testing.assert_allclose(map_together, map_alone, atol=1e-4)


def test_maps_of_one_pass_need_no_inversion(stub: ExplanationServiceStub, image: Image) -> None:
    kinds = [MAP_KIND_GRAD_CAM, MAP_KIND_GRADIENT, MAP_KIND_GUIDED_BACKPROPAGATION]
    answer = stub.Explain(ExplainRequest(image=image, maps=[MapRequest(kind=kind) for kind in kinds]))
    assert [map_.kind for map_ in answer.maps] == kinds
    cam, gradient, guided = arrays(answer)
    assert cam.shape == gradient.shape == guided.shape == (SIZE, SIZE)
    assert cam.min() >= 0
    assert np.abs(gradient).max() > 0
    assert answer.maps[1].range.maximum == pytest.approx(np.abs(gradient).max())
    assert 1 / (1 + np.exp(-answer.target.logit)) == pytest.approx(answer.scores.original.probability, abs=1e-6)
    assert answer.target.class_name == "lesion"
    assert not answer.HasField("outcome")
    assert not answer.scores.HasField("reconstruction")
    assert not answer.settings.HasField("inversion")
    assert answer.verdict.status in (VERDICT_STATUS_NOT_ASSESSED, VERDICT_STATUS_NOT_APPLICABLE)
