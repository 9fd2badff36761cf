"""A real server with a real bundle, asked over gRPC."""

import io
import itertools
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from PIL import Image as PillowImage
from pydicom.data import get_testdata_file

from medxgan.v1.bundle_pb2 import DATA_TYPE_FLOAT32, DATA_TYPE_UINT8, SOLVER_ADAM, SOLVER_LBFGS, Solver
from medxgan.v1.explanation_pb2 import (
    IMAGE_FORM_DICOM,
    MAP_FORM_PNG,
    MAP_FORM_TENSOR,
    MAP_KIND_APPLIED_NEGATIVE,
    MAP_KIND_COLORIZED,
    MAP_KIND_DIFFERENCE,
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
    PROGRESS_PHASE_POSITIVE_REALIZATION,
    VERDICT_STATUS_NOT_APPLICABLE,
    VERDICT_STATUS_NOT_ASSESSED,
    VERDICT_STATUS_UNSPECIFIED,
    ClassifyRequest,
    ExplainRequest,
    ExplainResponse,
    ExplainSettings,
    GetModelRequest,
    Image,
    InversionSettings,
    ListModelsRequest,
    MapKind,
    MapRequest,
    ModelSelector,
    PixelSpacing,
    Tensor,
    TrajectoryRequest,
)
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

Serving = Callable[..., AbstractContextManager[grpc.Channel]]

SERVICE = "medxgan.v1.ExplanationService"
SIZE = 32
RANGES = {
    MAP_KIND_ORIGINAL: (-1, 1),
    MAP_KIND_RECONSTRUCTION: (-1, 1),
    MAP_KIND_NEGATIVE_REALIZATION: (-1, 1),
    MAP_KIND_DIFFERENCE: (-2, 2),
    MAP_KIND_COLORIZED: (0, 1),
}


def inverting(**settings: float) -> ExplainSettings:
    """Settings of the inversion."""
    return ExplainSettings(inversion=InversionSettings(**settings))


HOURS = inverting(steps=100_000_000)


def array(tensor: Tensor) -> np.ndarray:
    assert tensor.data_type == DATA_TYPE_FLOAT32
    return np.frombuffer(tensor.data, "<f4").reshape(tensor.shape)


def wire(levels: np.ndarray) -> Image:
    return Image(tensor=Tensor(shape=levels.shape, data_type=DATA_TYPE_UINT8, data=levels.tobytes()))


def arrays(response: ExplainResponse) -> list[np.ndarray]:
    return [array(map_.tensor) for map_ in response.maps]


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


def test_classify_gives_the_score_of_an_explanation(stub: ExplanationServiceStub, images: list[Image]) -> None:
    for image in images:
        answer = stub.Classify(ClassifyRequest(image=image))
        explanation = stub.Explain(ExplainRequest(image=image, settings=inverting(steps=1)))
        assert answer.score == explanation.scores.original
        assert answer.predicted_class == ("lesion" if answer.score.positive else "no lesion")
        assert answer.geometry == explanation.geometry
        assert answer.familiar, "the bundle states no measure that it could fail"


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


def test_the_geometry_says_where_x_lies(stub: ExplanationServiceStub) -> None:
    levels = np.random.default_rng(1).integers(0, 256, (40, 60), np.uint8)
    wide = stub.Classify(ClassifyRequest(image=wire(levels))).geometry
    assert (wide.rows, wide.columns, wide.pixel_aspect) == (40, 60, 1)
    assert (wide.box.top, wide.box.left, wide.box.bottom, wide.box.right) == (0, 10, 40, 50)
    assert not wide.HasField("pixel_spacing")
    image = wire(levels)
    image.pixel_spacing.CopyFrom(PixelSpacing(row_mm=0.3, column_mm=0.1))
    tall = stub.Classify(ClassifyRequest(image=image)).geometry
    assert tall.pixel_aspect == pytest.approx(3)
    assert (tall.box.top, tall.box.left, tall.box.bottom, tall.box.right) == pytest.approx((10, 0, 30, 60))
    assert tall.pixel_spacing == image.pixel_spacing


def test_notes_reach_the_caller(stub: ExplanationServiceStub) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    file = io.BytesIO()
    PillowImage.fromarray(colour).save(file, "PNG")
    image = Image(encoded=file.getvalue())
    assert stub.Explain(ExplainRequest(image=image)).notes == ["colour was converted to grey"]
    assert stub.Classify(ClassifyRequest(image=image)).notes == ["colour was converted to grey"]


def test_a_real_film_and_its_compressed_form_are_the_same_to_the_server(stub: ExplanationServiceStub) -> None:
    films = [
        Image(dicom=Path(str(get_testdata_file(name, download=False))).read_bytes())
        for name in ("RG1_UNCR.dcm", "RG1_J2KR.dcm")
    ]
    plain, compressed = (stub.Explain(ExplainRequest(image=film)) for film in films)
    for one, other in zip(arrays(plain), arrays(compressed), strict=True):
        np.testing.assert_array_equal(one, other)
    (original, *_) = arrays(plain)
    assert original[0].mean() < original[SIZE // 2].mean(), "MONOCHROME1: the background above the shoulders is dark"


def test_models_are_listed_and_described(stub: ExplanationServiceStub) -> None:
    listed = stub.ListModels(ListModelsRequest())
    (summary,) = listed.models
    assert summary.is_default
    assert summary.has_generator
    assert IMAGE_FORM_DICOM in listed.server.image_forms
    assert (summary.model.name, summary.positive_class, summary.license) == ("tiny", "lesion", "Apache-2.0")
    description = stub.GetModel(GetModelRequest(model=ModelSelector(name="tiny", version="1")))
    assert description.model == summary.model
    assert description.execution == summary.execution
    assert (description.bundle.image.height, description.bundle.image.width) == (SIZE, SIZE)
    assert description.bundle.graphs
    assert [each.kind for each in description.maps] == [kind for kind in MapKind.values() if kind]
    assert [each.kind for each in description.maps if each.is_default] == list(RANGES)
    assert description.server == listed.server


def test_health_and_reflection(channel: grpc.Channel) -> None:
    health = HealthStub(channel)
    for service in ("", SERVICE):
        assert health.Check(HealthCheckRequest(service=service)).status == HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as unknown:
        health.Check(HealthCheckRequest(service="medxgan.v1.NoSuchService"))
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    (answer,) = ServerReflectionStub(channel).ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]))
    names = {service.name for service in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
    (answer,) = ServerReflectionStub(channel).ServerReflectionInfo(
        iter([ServerReflectionRequest(file_containing_symbol=SERVICE)])
    )
    assert answer.file_descriptor_response.file_descriptor_proto


# In the tests below the batch has one row. What comes next is answered only once the compute before it has stopped,
# which left alone would go on for hours: an answer is the proof, and a failure shows as a passed deadline.


def test_a_cancelled_call_stops_the_compute(endless_models: Path, serving: Serving, image: Image) -> None:
    with serving(endless_models, maximum_batch=1) as channel:
        stub = ExplanationServiceStub(channel)
        stream = stub.ExplainStream(ExplainRequest(image=image, settings=HOURS))
        assert next(stream).progress.steps_taken > 0
        stream.cancel()
        answer = stub.Explain(ExplainRequest(image=image, settings=inverting(steps=5)), timeout=60)
        assert answer.outcome.steps_taken == 5


def test_a_passed_deadline_stops_the_compute(endless_models: Path, serving: Serving, image: Image) -> None:
    with serving(endless_models, maximum_batch=1) as channel:
        stub = ExplanationServiceStub(channel)
        with pytest.raises(grpc.RpcError) as late:
            stub.Explain(ExplainRequest(image=image, settings=HOURS), timeout=0.5)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        answer = stub.Explain(ExplainRequest(image=image, settings=inverting(steps=5)), timeout=60)
        assert answer.outcome.steps_taken == 5


def test_a_full_server_says_when_to_come_back_and_has_room_again(
    endless_models: Path, serving: Serving, image: Image
) -> None:
    with serving(endless_models, maximum_batch=1, maximum_waiting=0, retry_delay_seconds=1.5) as channel:
        stub = ExplanationServiceStub(channel)
        stream = stub.ExplainStream(ExplainRequest(image=image, settings=HOURS))
        next(stream)
        with pytest.raises(grpc.RpcError) as busy:
            stub.Explain(ExplainRequest(image=image))
        assert busy.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        status = status_pb2.Status.FromString(dict(busy.value.trailing_metadata())["grpc-status-details-bin"])
        retry = error_details_pb2.RetryInfo()
        assert status.details[0].Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() == 1500
        assert stub.ListModels(ListModelsRequest()).models, "what does not compute is answered all the same"
        stream.cancel()
        assert eventually_classified(stub, image)


def test_leaving_during_the_search_for_a_positive_realization_stops_it(
    endless_models: Path, tmp_path: Path, serving: Serving, image: Image
) -> None:
    bundle = tmp_path / "searching" / "1"
    shutil.copytree(endless_models / "endless" / "1", bundle)
    description = json.loads((bundle / "bundle.json").read_text()) | {"name": "searching"}
    description["inversion"] |= {"tolerance": 0.9}  # the inversion soon settles, the search never ends
    description["classification"]["decision_threshold"] = 0.99999
    (bundle / "bundle.json").write_text(json.dumps(description))
    with serving(tmp_path, maximum_batch=1, maximum_waiting=0) as channel:
        stub = ExplanationServiceStub(channel)
        wanted = [MapRequest(kind=MAP_KIND_POSITIVE_REALIZATION)]
        stream = stub.ExplainStream(ExplainRequest(image=image, settings=HOURS, maps=wanted))
        assert any(message.progress.phase == PROGRESS_PHASE_POSITIVE_REALIZATION for message in stream)
        stream.cancel()
        assert eventually_classified(stub, image), "the place of the one who left is free again"


def eventually_classified(stub: ExplanationServiceStub, image: Image) -> bool:
    """Ask until there is room; the server hears of a cancelled call a moment after the caller cancels it."""
    for _ in range(10_000):
        try:
            return bool(stub.Classify(ClassifyRequest(image=image)).predicted_class)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
    return False


def test_leaving_the_embedded_server_ends_what_still_runs(endless_models: Path, serving: Serving, image: Image) -> None:
    with serving(endless_models) as channel:
        stream = ExplanationServiceStub(channel).ExplainStream(ExplainRequest(image=image, settings=HOURS))
        next(stream)
    with pytest.raises(grpc.RpcError):
        list(stream)
