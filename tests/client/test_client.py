"""Both clients against a server whose answers the tests choose."""

import asyncio

import numpy as np
import pytest

from medxgan.client import (
    AsyncClient,
    Explanation,
    Image,
    ImageForm,
    IntegratedGradientsSettings,
    InvalidRequestError,
    InversionSettings,
    MapForm,
    MapKind,
    MapNeed,
    OcclusionSettings,
    PixelSpacing,
    Priority,
    Progress,
    ProgressPhase,
    Score,
    ServerFaultError,
    Settings,
    Solver,
    VerdictReasonCode,
    VerdictStatus,
)
from medxgan.client.geometry import Box
from medxgan.client.results import Completeness, ImageCheck, PositiveRealizationOutcome, TargetScore
from medxgan.v1 import bundle_pb2, explanation_pb2

DEFAULT_KINDS = (
    MapKind.ORIGINAL,
    MapKind.RECONSTRUCTION,
    MapKind.NEGATIVE_REALIZATION,
    MapKind.DIFFERENCE,
    MapKind.COLORIZED,
)


def test_an_explanation_is_read_whole(service, client, grey) -> None:
    service.answer.verdict.status = explanation_pb2.VERDICT_STATUS_NOT_RELIABLE
    service.answer.verdict.reasons.add(
        code=explanation_pb2.VERDICT_REASON_CODE_NEGATIVE_IS_POSITIVE, measured=0.6, threshold=0.5, sentence="It is."
    )
    explanation = client.explain(grey, settings=Settings(seed=11))

    assert list(explanation.maps) == list(DEFAULT_KINDS)
    for kind in explanation.maps:
        np.testing.assert_array_equal(explanation[kind], service.maps[service.number(kind)])
        np.testing.assert_array_equal(getattr(explanation, kind), explanation[kind])
    assert (explanation.model.name, explanation.model.version) == ("chest", "2")
    assert explanation.execution.provider == "CPUExecutionProvider"
    assert explanation.settings == Settings("pneumonia", 11, InversionSettings(200, 0.05, 4, 1))
    assert explanation.verdict.status is VerdictStatus.NOT_RELIABLE
    assert explanation.verdict.reasons[0].code is VerdictReasonCode.NEGATIVE_IS_POSITIVE
    assert explanation.verdict.reasons[0].measured == 0.6
    assert explanation.image_checks == (ImageCheck("feature_distance", 1.5, 4, True),)
    assert explanation.scores.original == Score(0.9, True)
    assert explanation.scores.applied_negative == Score(0.6, True)
    assert explanation.notes == ("colour was converted to grey",)
    assert explanation.timing.inversion_ms == 30
    assert (explanation.geometry.rows, explanation.geometry.columns) == (40, 50)
    assert explanation.geometry.box == Box(0, 5, 40, 45)
    assert explanation.geometry.pixel_spacing == PixelSpacing(0.2, 0.2)
    assert explanation.maps[MapKind.DIFFERENCE].range.minimum == -2
    # What was not asked for.
    assert explanation.outcome.difference_spread is None
    assert explanation.positive_outcome is None
    assert explanation.scores.positive_realization is None
    assert explanation.target is None
    assert explanation.trajectory == ()


def test_every_map_comes_from_one_call(service, client, grey) -> None:
    wanted = list(MapKind)
    explanation = client.explain(
        grey, maps=wanted, settings=Settings(inversion=InversionSettings(restarts=4)), trajectory=3
    )
    assert len(service.requests) == 1
    assert list(explanation.maps) == wanted
    for kind in wanted:
        np.testing.assert_array_equal(explanation[kind], service.maps[service.number(kind)])
        assert explanation.maps[kind].elapsed_ms == service.number(kind) / 10
    integrals = [kind for kind in wanted if explanation.maps[kind].completeness == Completeness(3.1, 3.2, 0.1)]
    assert integrals == [MapKind.INTEGRATED_GRADIENTS, MapKind.LATENT_INTEGRATED_GRADIENTS]
    assert explanation.settings.inversion == InversionSettings(200, 0.05, 4, 4)
    assert explanation.settings.integrated_gradients == IntegratedGradientsSettings(50, -1)
    assert explanation.settings.occlusion == OcclusionSettings(2, 1, -1)
    assert explanation.target == TargetScore("pneumonia", 2.5)
    assert (explanation.outcome.restart, explanation.outcome.difference_spread) == (2, 0.025)
    assert explanation.positive_outcome == PositiveRealizationOutcome(True, 12, 0.75, 0.02)
    assert explanation.scores.positive_realization == Score(0.7, True)
    assert [(frame.position, frame.score) for frame in explanation.trajectory] == [
        (0, Score(0, False)),
        (0.5, Score(0.5, True)),
        (1, Score(1, True)),
    ]
    assert explanation.trajectory[1].array().mean() == 0


def test_without_an_inversion_its_part_is_none(client, grey) -> None:
    explanation = client.explain(grey, maps=[MapKind.GRAD_CAM])
    assert explanation.outcome is None
    assert explanation.settings.inversion is None
    assert explanation.scores.reconstruction is None
    assert explanation.scores.applied_negative is None


def test_the_maps_are_the_contracts() -> None:
    assert {f"MAP_KIND_{name}" for name in MapKind.__members__} == set(explanation_pb2.MapKind.keys()) - {
        "MAP_KIND_UNSPECIFIED"
    }


def test_a_decision_is_the_servers_whatever_the_numbers_say(service, client, grey) -> None:
    service.answer.scores.original.probability = service.answer.scores.decision_threshold = 0.3
    service.answer.scores.original.positive = False
    assert client.explain(grey).scores.original == Score(0.3, False)
    assert client.classify(grey).score == Score(0.3, False)


def test_only_what_the_caller_chose_is_sent(service, client, grey) -> None:
    client.explain(grey)
    client.explain(
        Image(grey, frame=3, pixel_spacing=PixelSpacing(0.1, 0.2)),
        model="chest",
        version="2",
        settings=Settings(
            target_class="no finding",
            inversion=InversionSettings(
                5, learning_rate=0.5, reconstruction_weight=0.0, restarts=3, solver=Solver.LBFGS
            ),
            integrated_gradients=IntegratedGradientsSettings(baseline=0),
            occlusion=OcclusionSettings(window=4),
        ),
        maps=[MapKind.RESIDUAL],
        trajectory=9,
        priority=Priority.STAT,
    )
    client.explain(grey, settings=Settings(inversion=InversionSettings()))
    plain, chosen, empty = service.requests
    for name in ("settings", "trajectory"):
        assert not plain.HasField(name)
        assert not empty.HasField(name)
    assert not plain.maps
    assert not plain.image.HasField("frame")
    assert plain.image.tensor.data_type == bundle_pb2.DATA_TYPE_UINT8
    assert (chosen.model.name, chosen.model.version) == ("chest", "2")
    assert chosen.settings == explanation_pb2.ExplainSettings(
        target_class="no finding",
        inversion=explanation_pb2.InversionSettings(
            steps=5, learning_rate=0.5, reconstruction_weight=0, restarts=3, solver=bundle_pb2.SOLVER_LBFGS
        ),
        integrated_gradients=explanation_pb2.IntegratedGradientsSettings(baseline=0),
        occlusion=explanation_pb2.OcclusionSettings(window=4),
    )
    assert [entry.kind for entry in chosen.maps] == [explanation_pb2.MAP_KIND_RESIDUAL]
    assert chosen.trajectory.frames == 9
    assert [request.priority for request in (plain, chosen)] == [0, explanation_pb2.PRIORITY_STAT]
    assert chosen.image.frame == 3
    assert (chosen.image.pixel_spacing.row_mm, chosen.image.pixel_spacing.column_mm) == (0.1, 0.2)


def test_maps_may_come_as_png(service, client, grey) -> None:
    kinds = [MapKind.DIFFERENCE, MapKind.COLORIZED, MapKind.GRADIENT]
    explanation = client.explain(grey, maps=kinds, form=MapForm.PNG)
    for kind in kinds:
        entry = explanation.maps[kind]
        assert entry.values is None
        assert entry.png is not None
        half_a_level = (entry.range.maximum - entry.range.minimum) / 510
        np.testing.assert_allclose(explanation[kind], service.maps[service.number(kind)], atol=half_a_level + 1e-6)


def test_png_needs_named_maps(service, client, grey) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        client.explain(grey, form=MapForm.PNG)
    assert refused.value.field == "maps"
    assert not service.requests


def test_a_map_that_was_not_asked_for_is_not_there(client, grey) -> None:
    explanation = client.explain(grey, maps=[MapKind.DIFFERENCE])
    with pytest.raises(LookupError, match="'original' was not asked for"):
        _ = explanation.original


def test_a_map_is_laid_on_the_film(client, grey) -> None:
    film = client.explain(grey).on_film(MapKind.DIFFERENCE)
    assert film.shape == (40, 50)
    assert np.isnan(film[:, :5]).all()
    assert np.isfinite(film[:, 5:45]).all()


def test_a_stream_tells_its_progress_and_ends_with_the_same_result(client, grey) -> None:
    heard: list[Progress] = []
    streamed = client.explain_stream(grey, on_progress=heard.append)
    assert [(progress.steps_taken, progress.steps_total) for progress in heard] == [(80, 200), (160, 200)]
    assert {progress.phase for progress in heard} == {ProgressPhase.INVERSION}
    np.testing.assert_array_equal(streamed.difference, client.explain(grey).difference)


def test_scores_models_and_what_the_server_takes(client, grey) -> None:
    classification = client.classify(grey)
    assert (classification.score, classification.predicted_class) == (Score(0.9, True), "pneumonia")
    assert classification.familiar
    assert classification.geometry.columns == 50

    (summary,) = client.models()
    assert (summary.model.name, summary.negative_class) == ("chest", "no finding")
    assert summary.is_default
    assert summary.has_generator
    server = client.server()
    assert (server.version, server.limits.trajectory_frames) == ("0.2.0", 9)
    assert server.image_forms == (ImageForm.TENSOR, ImageForm.DICOM)


def test_a_model_says_which_maps_it_has_and_what_they_need(service, client) -> None:
    description = client.model("chest")
    assert description.bundle.classification.positive_class == "pneumonia"
    assert [entry.kind for entry in description.maps] == list(MapKind)
    evidence = next(entry for entry in description.maps if entry.kind is MapKind.EVIDENCE)
    assert evidence.needs == (MapNeed.INVERSION, MapNeed.PATH)
    assert (evidence.name, evidence.range, evidence.any_class) == ("evidence", None, False)
    assert description.default_settings == Settings("pneumonia", 0)
    assert description.server == client.server()
    service.has_generator = False
    assert MapKind.DIFFERENCE not in [entry.kind for entry in client.model("chest").maps]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (Settings(seed=2**64), "settings.seed"),
        (Settings(inversion=InversionSettings(steps=2**32)), "settings.inversion.steps"),
        (Settings(inversion=InversionSettings(restarts=-1)), "settings.inversion.restarts"),
        (Settings(integrated_gradients=IntegratedGradientsSettings(steps=-1)), "settings.integrated_gradients.steps"),
        (Settings(occlusion=OcclusionSettings(window=-1)), "settings.occlusion.window"),
        (Settings(occlusion=OcclusionSettings(stride=2**32)), "settings.occlusion.stride"),
    ],
)
def test_a_number_that_the_wire_cannot_hold_is_refused_by_field(service, client, grey, settings, field) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        client.explain(grey, settings=settings)
    assert refused.value.field == field
    assert not service.requests


def test_other_numbers_that_the_wire_cannot_hold(service, client, grey) -> None:
    for image, options, field in (
        (grey, {"trajectory": -1}, "trajectory.frames"),
        (Image(grey, frame=-1), {}, "image.frame"),
    ):
        with pytest.raises(InvalidRequestError) as refused:
            client.explain(image, **options)
        assert refused.value.field == field
    assert not service.requests


def test_many_tasks_share_a_client(service, grey) -> None:
    async def run() -> list[Explanation]:
        async with AsyncClient(service.address) as client:
            return await asyncio.gather(*(client.explain(grey, settings=Settings(seed=seed)) for seed in range(8)))

    assert [explanation.settings.seed for explanation in asyncio.run(run())] == list(range(8))


def test_a_map_that_does_not_fit_its_shape_is_refused(service, client, grey) -> None:
    result = explanation_pb2.ExplainResponse(verdict=service.answer.verdict)
    result.maps.add(
        kind=explanation_pb2.MAP_KIND_ORIGINAL,
        tensor=explanation_pb2.Tensor(shape=[4, 4], data_type=bundle_pb2.DATA_TYPE_FLOAT32, data=bytes(4 * 15)),
    )
    service.events = [explanation_pb2.ExplainStreamResponse(result=result)]
    with pytest.raises(ServerFaultError, match=r"60 bytes for 16 values of 4 bytes each, the shape \[4, 4\]"):
        client.explain_stream(grey, on_progress=lambda _: None)
