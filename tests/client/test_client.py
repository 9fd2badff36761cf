import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc import StatusCode

from medxgan.client import (
    AttributionMethod,
    BusyError,
    Client,
    DeadlineExceededError,
    IntegratedGradientsSettings,
    InvalidRequestError,
    MapKind,
    MedxganClientError,
    OcclusionSettings,
    ProgressPhase,
    ServerFaultError,
    UnavailableError,
    VerdictReasonCode,
    VerdictStatus,
)
from medxgan.client.enums import to_wire
from medxgan.client.results import QUICK_METHODS, Completeness, InversionSettings, PositiveRealizationOutcome
from medxgan.v1 import bundle_pb2, explanation_pb2

PHASE = explanation_pb2.PROGRESS_PHASE_INVERSION
FIRST_KINDS = (
    MapKind.ORIGINAL,
    MapKind.RECONSTRUCTION,
    MapKind.NEGATIVE_REALIZATION,
    MapKind.DIFFERENCE,
    MapKind.COLORIZED,
)


def retry_after(seconds: float) -> error_details_pb2.RetryInfo:
    delay = Duration()
    delay.FromMilliseconds(round(seconds * 1000))
    return error_details_pb2.RetryInfo(retry_delay=delay)


@pytest.fixture
def client(service):
    with Client(service.address, timeout=20) as client:
        yield client


def test_an_explanation_is_read_whole(service, client, grey) -> None:
    service.answer.verdict.status = explanation_pb2.VERDICT_STATUS_NOT_RELIABLE
    service.answer.verdict.reasons.add(
        code=explanation_pb2.VERDICT_REASON_CODE_NEGATIVE_IS_POSITIVE, measured=0.6, threshold=0.5, sentence="It is."
    )
    explanation = client.explain(grey, seed=11)

    assert set(explanation.maps) == set(FIRST_KINDS)
    for kind in FIRST_KINDS:
        np.testing.assert_array_equal(explanation.maps[kind], service.maps[to_wire(kind)])
    np.testing.assert_array_equal(explanation.negative_realization, explanation.maps[MapKind.NEGATIVE_REALIZATION])
    assert (explanation.model.name, explanation.model.version) == ("chest", "2")
    assert explanation.execution.provider == "CPUExecutionProvider"
    assert explanation.seed == 11
    assert explanation.verdict.status is VerdictStatus.NOT_RELIABLE
    assert explanation.verdict.reasons[0].code is VerdictReasonCode.NEGATIVE_IS_POSITIVE
    assert explanation.notes == ("colour was converted to grey",)
    # As decimal numbers, not as what float32 makes of them.
    assert explanation.scores.original == 0.9
    assert explanation.settings.learning_rate == 0.05
    assert explanation.verdict.reasons[0].measured == 0.6
    assert explanation.scores.applied_negative == 0.6
    # What was not asked for.
    assert explanation.outcome.difference_spread is None
    assert explanation.positive_outcome is None
    assert explanation.scores.positive_realization is None
    assert explanation.trajectory == ()


def test_every_map_and_the_trajectory_are_read(service, client, grey) -> None:
    explanation = client.explain(grey, restarts=4, maps=list(MapKind), trajectory=3)
    for kind in MapKind:
        np.testing.assert_array_equal(explanation.maps[kind], service.maps[to_wire(kind)])
        np.testing.assert_array_equal(getattr(explanation, kind), explanation.maps[kind])
    assert explanation.settings.restarts == 4
    assert (explanation.outcome.restart, explanation.outcome.difference_spread) == (2, 0.025)
    assert explanation.positive_outcome == PositiveRealizationOutcome(True, 12, 0.75, 0.02)
    assert explanation.scores.positive_realization == 0.7
    assert explanation.timing.positive_realization_ms == 5
    assert [(frame.position, frame.score) for frame in explanation.trajectory] == [(0, 0), (0.5, 0.5), (1, 1)]
    np.testing.assert_array_equal([frame.picture[0, 0] for frame in explanation.trajectory], [-1, 0, 1])


def test_every_kind_of_map_of_the_wire_is_known() -> None:
    wire = {name.removeprefix("MAP_KIND_") for name, _ in explanation_pb2.MapKind.items()}
    assert wire - {"UNSPECIFIED"} == set(MapKind.__members__)


def test_what_counts_as_positive_begins_at_the_threshold(service, client, grey) -> None:
    scores = client.explain(grey).scores
    assert [scores.is_positive(probability) for probability in (0.49, 0.5, 0.51)] == [False, True, True]
    assert scores.image_is_positive
    service.answer.scores.original = 0.49
    assert not client.explain(grey).scores.image_is_positive


def test_only_what_the_caller_chose_is_sent(service, client, grey) -> None:
    client.explain(grey)
    client.explain(
        grey,
        model="chest",
        version="2",
        steps=5,
        learning_rate=0.5,
        reconstruction_weight=0.0,
        restarts=3,
        maps=[MapKind.RESIDUAL],
        trajectory=9,
    )
    plain, chosen = service.requests
    assert not plain.HasField("inversion")
    assert not plain.HasField("trajectory")
    assert not plain.maps
    assert plain.image.tensor.data_type == bundle_pb2.DATA_TYPE_UINT8
    assert (chosen.model.name, chosen.model.version) == ("chest", "2")
    assert chosen.inversion.steps == 5
    assert chosen.inversion.learning_rate == 0.5
    assert chosen.inversion.HasField("reconstruction_weight")
    assert chosen.inversion.restarts == 3
    assert [entry.kind for entry in chosen.maps] == [explanation_pb2.MAP_KIND_RESIDUAL]
    assert chosen.trajectory.frames == 9


def test_a_map_that_was_not_asked_for_is_not_there(client, grey) -> None:
    explanation = client.explain(grey, maps=[MapKind.DIFFERENCE])
    assert set(explanation.maps) == {MapKind.DIFFERENCE}
    with pytest.raises(LookupError, match="'original' was not asked for"):
        _ = explanation.original


def test_a_stream_tells_its_progress_and_ends_with_the_same_result(client, grey) -> None:
    heard = []
    streamed = client.explain_stream(grey, on_progress=heard.append)
    assert [(progress.steps_taken, progress.steps_total) for progress in heard] == [(80, 200), (160, 200)]
    assert {progress.phase for progress in heard} == {ProgressPhase.INVERSION}
    np.testing.assert_array_equal(streamed.difference, client.explain(grey).difference)


def test_scores_and_models(client, grey) -> None:
    classification = client.classify(grey)
    assert (classification.probability, classification.predicted_class) == (0.9, "pneumonia")

    (summary,) = client.models()
    assert (summary.model.name, summary.negative_class) == ("chest", "no finding")
    assert client.model("chest").bundle.classification.positive_class == "pneumonia"


def test_an_attribution_is_read_whole(client, grey) -> None:
    service_numbers = {
        AttributionMethod.GRAD_CAM: explanation_pb2.ATTRIBUTION_METHOD_GRAD_CAM,
        AttributionMethod.LATENT_INTEGRATED_GRADIENTS: explanation_pb2.ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS,
        AttributionMethod.OCCLUSION: explanation_pb2.ATTRIBUTION_METHOD_OCCLUSION,
    }
    attribution = client.attribute(grey, methods=list(service_numbers), target=1, seed=7)
    assert list(attribution.values) == list(service_numbers)
    for method, number in service_numbers.items():
        np.testing.assert_array_equal(attribution.values[method], attribution.image * number)
        assert attribution.elapsed_ms[method] == number / 10
    assert (attribution.logit, attribution.target, attribution.target_class) == (2.5, 1, "pneumonia")
    assert attribution.completeness == {AttributionMethod.LATENT_INTEGRATED_GRADIENTS: Completeness(3.1, 3.2, 0.1)}
    assert attribution.integrated_gradients == IntegratedGradientsSettings(50, -1)
    assert attribution.occlusion == OcclusionSettings(2, 1, -1)
    assert attribution.inversion == InversionSettings(200, 0.05, 4, 1)
    assert attribution.seed == 7
    assert attribution.verdict is not None
    assert attribution.verdict.status is VerdictStatus.RELIABLE
    assert attribution.notes == ("colour was converted to grey",)


def test_what_no_method_used_is_none(client, grey) -> None:
    attribution = client.attribute(grey)
    assert list(attribution.values) == list(QUICK_METHODS)
    assert attribution.completeness == {}
    assert attribution.integrated_gradients is None
    assert attribution.occlusion is None
    assert attribution.inversion is None
    assert attribution.verdict is None


def test_only_what_the_caller_chose_of_an_attribution_is_sent(service, client, grey) -> None:
    client.attribute(grey)
    client.attribute(
        grey,
        methods=list(AttributionMethod),
        target=0,
        integrated_gradients=IntegratedGradientsSettings(baseline=0),
        occlusion=OcclusionSettings(window=4),
        steps=9,
        restarts=2,
    )
    plain, chosen = service.requests
    for name in ("target", "integrated_gradients", "occlusion", "inversion"):
        assert not plain.HasField(name)
        assert chosen.HasField(name)
    assert len(chosen.methods) == len(set(chosen.methods)) == len(AttributionMethod)
    assert chosen.integrated_gradients == explanation_pb2.IntegratedGradientsSettings(baseline=0)
    assert chosen.occlusion == explanation_pb2.OcclusionSettings(window=4)
    assert chosen.inversion == explanation_pb2.InversionSettings(steps=9, restarts=2)


def test_every_method_of_the_wire_is_known() -> None:
    wire = {name.removeprefix("ATTRIBUTION_METHOD_") for name, _ in explanation_pb2.AttributionMethod.items()}
    assert wire - {"UNSPECIFIED"} == set(AttributionMethod.__members__)


def test_a_bundle_says_which_methods_it_can_serve(service, client) -> None:
    assert client.model().methods == tuple(AttributionMethod)
    service.has_generator = False
    without = client.model().methods
    assert set(QUICK_METHODS) < set(without)
    assert set(AttributionMethod) - set(without) == {
        AttributionMethod.LATENT_INTEGRATED_GRADIENTS,
        AttributionMethod.DIFFERENCE_MAP,
        AttributionMethod.RESIDUAL_MAP,
        AttributionMethod.EVIDENCE_MAP,
    }


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"target": -1}, "target"),
        ({"steps": 2**32}, "inversion.steps"),
        ({"restarts": -1}, "inversion.restarts"),
        ({"seed": 2**64}, "seed"),
        ({"integrated_gradients": IntegratedGradientsSettings(steps=-1)}, "integrated_gradients.steps"),
        ({"occlusion": OcclusionSettings(window=-1)}, "occlusion.window"),
        ({"occlusion": OcclusionSettings(stride=2**32)}, "occlusion.stride"),
    ],
)
def test_a_number_that_the_wire_cannot_hold_is_refused_by_field(service, client, grey, settings, field) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        client.attribute(grey, **settings)
    assert refused.value.field == field
    assert not service.requests


def test_a_trajectory_of_no_whole_number_of_frames_is_refused_by_field(service, client, grey) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        client.explain(grey, trajectory=-1)
    assert refused.value.field == "trajectory.frames"
    assert not service.requests


@pytest.mark.parametrize("stream", [False, True])
def test_a_server_that_was_away_is_asked_again(service, client, grey, stream) -> None:
    service.fail(StatusCode.UNAVAILABLE, "restarting", times=2)
    explanation = client.explain_stream(grey, on_progress=lambda _: None) if stream else client.explain(grey)
    assert explanation.seed == 0
    assert len(service.requests) == 3


def test_a_server_is_asked_no_more_often_than_said(service, grey) -> None:
    service.fail(StatusCode.UNAVAILABLE, "restarting", times=10)
    with Client(service.address, retries=2) as client, pytest.raises(UnavailableError):
        client.explain(grey)
    assert len(service.requests) == 3


def test_a_busy_server_is_asked_again_when_it_said(service, client, grey) -> None:
    service.fail(StatusCode.RESOURCE_EXHAUSTED, "the queue is full", retry_after(0.3))
    started = time.monotonic()
    client.explain(grey)
    assert time.monotonic() - started >= 0.3
    assert len(service.requests) == 2


def test_no_retry_begins_after_the_timeout(service, grey) -> None:
    service.fail(StatusCode.RESOURCE_EXHAUSTED, "the queue is full", retry_after(60))
    with Client(service.address, timeout=5) as client, pytest.raises(BusyError):
        client.explain(grey)
    assert len(service.requests) == 1


@pytest.mark.parametrize("code", [StatusCode.INTERNAL, StatusCode.RESOURCE_EXHAUSTED, StatusCode.INVALID_ARGUMENT])
def test_what_would_end_the_same_is_not_tried_again(service, client, grey, code) -> None:
    service.fail(code, "no")
    with pytest.raises(MedxganClientError, match="no"):
        client.explain(grey)
    assert len(service.requests) == 1


def test_a_stream_that_broke_off_is_not_begun_again(service, client, grey) -> None:
    progress = explanation_pb2.Progress(steps_taken=1, steps_total=2, phase=PHASE)
    service.events = [explanation_pb2.ExplainStreamResponse(progress=progress)]
    service.fail_after_events = True
    with pytest.raises(UnavailableError, match="shutting down"):
        client.explain_stream(grey, on_progress=lambda _: None)
    assert len(service.requests) == 1


def test_a_stream_without_a_result_is_the_servers_fault(service, client, grey) -> None:
    service.events = []
    with pytest.raises(ServerFaultError, match="without a result"):
        client.explain_stream(grey, on_progress=lambda _: None)


def test_a_caller_who_stops_listening_frees_the_server(service, client, grey) -> None:
    released = threading.Event()

    def events() -> Iterator[explanation_pb2.ExplainStreamResponse]:
        yield explanation_pb2.ExplainStreamResponse(
            progress=explanation_pb2.Progress(steps_taken=1, steps_total=2, phase=PHASE)
        )
        released.wait(60)

    def stop(_) -> None:
        raise KeyboardInterrupt

    service.events = events()
    with pytest.raises(KeyboardInterrupt) as _caught:
        client.explain_stream(grey, on_progress=stop)
    dropped = service.dropped.wait(10)
    released.set()
    assert dropped


def test_the_timeout_ends_a_call(service, grey) -> None:
    service.hold.clear()
    with Client(service.address, timeout=0.2) as client, pytest.raises(DeadlineExceededError):
        client.explain(grey)


def test_no_server_is_said_to_be_unavailable() -> None:
    with socket.socket() as taken:
        # Bound but not listening: nobody answers there, and nobody else can take the port meanwhile.
        taken.bind(("127.0.0.1", 0))
        with Client(f"127.0.0.1:{taken.getsockname()[1]}", retries=1) as client, pytest.raises(UnavailableError):
            client.models()


def test_loopback_is_reached_past_a_proxy(service, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with Client(service.address, retries=0) as client:
        assert client.models()


@pytest.mark.parametrize("status", [0, 99])
def test_a_verdict_unknown_to_this_client_is_not_guessed(service, client, grey, status) -> None:
    service.answer.verdict.status = status
    with pytest.raises(ServerFaultError, match=f"VerdictStatus {status} is not known"):
        client.explain(grey)


def test_a_map_that_does_not_fit_its_shape_is_refused(service, client, grey) -> None:
    result = explanation_pb2.ExplainResponse(verdict=service.answer.verdict)
    result.maps.add(
        kind=explanation_pb2.MAP_KIND_ORIGINAL,
        tensor=explanation_pb2.Tensor(shape=[4, 4], data_type=bundle_pb2.DATA_TYPE_FLOAT32, data=bytes(4 * 15)),
    )
    service.events = [explanation_pb2.ExplainStreamResponse(result=result)]
    with pytest.raises(ServerFaultError, match=r"15 values for the shape \[4, 4\]"):
        client.explain_stream(grey, on_progress=lambda _: None)
