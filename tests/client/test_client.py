"""Both clients against a server whose answers the tests choose."""

import _thread
import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc
import numpy as np
import pytest
import trustme
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc import StatusCode

from medxgan.client import (
    AsyncClient,
    BusyError,
    Client,
    CredentialsError,
    DeadlineExceededError,
    Explanation,
    Image,
    ImageForm,
    IntegratedGradientsSettings,
    InvalidRequestError,
    InversionSettings,
    MapForm,
    MapKind,
    MapNeed,
    MedxganClientError,
    OcclusionSettings,
    PixelSpacing,
    Priority,
    Progress,
    ProgressPhase,
    Score,
    ServerFaultError,
    Settings,
    Solver,
    Tls,
    UnavailableError,
    VerdictReasonCode,
    VerdictStatus,
)
from medxgan.client.connection import KEEPALIVE, proxy_hint
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
PHASE = explanation_pb2.PROGRESS_PHASE_INVERSION


def retry_after(seconds: float) -> error_details_pb2.RetryInfo:
    delay = Duration()
    delay.FromMilliseconds(round(seconds * 1000))
    return error_details_pb2.RetryInfo(retry_delay=delay)


class Blocking:
    """An `AsyncClient` that is used as a `Client`, so that one test runs with both."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        try:
            self.client = self.loop.run_until_complete(self._made(*arguments, **options))
        except CredentialsError:
            self.loop.close()
            raise

    async def _made(self, *arguments: Any, **options: Any) -> AsyncClient:
        return AsyncClient(*arguments, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.loop.run_until_complete(self.client.close())
        self.loop.close()

    def __getattr__(self, method: str) -> Any:
        return lambda *arguments, **options: self.loop.run_until_complete(
            getattr(self.client, method)(*arguments, **options)
        )

    def explain_stream(self, *arguments: Any, on_progress: Any, **options: Any) -> Any:
        async def follow() -> Any:
            async with contextlib.aclosing(self.client.explain_stream(*arguments, **options)) as events:
                async for event in events:
                    if isinstance(event, Explanation):
                        return event
                    on_progress(event)
            raise AssertionError("the stream ended in silence")

        return self.loop.run_until_complete(follow())


@pytest.fixture(params=[Client, Blocking], ids=["Client", "AsyncClient"])
def make(request) -> Any:
    return request.param


@pytest.fixture
def client(service, make):
    with make(service.address, timeout=60) as client:
        yield client


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


@pytest.mark.parametrize("options", [{"token": "a.b.c"}, {"metadata": {"Authorization": "Bearer a.b.c"}}])
def test_a_token_goes_with_every_call(service, make, grey, options) -> None:
    with make(service.address, **options) as client:
        client.explain(grey)
        client.explain_stream(grey, on_progress=lambda _: None)
        client.classify(grey)
        client.models()
        client.server()
        client.model()
    assert len(service.metadata) == 6
    assert {sent["authorization"] for sent in service.metadata} == {"Bearer a.b.c"}


def test_a_token_in_a_file_is_read_for_every_try(service, make, tmp_path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    with make(service.address, token=file) as client:
        client.models()
        file.write_text("second\n")
        client.models()
        for content in (b"", b"two words", b"\xff", b"in\nbetween"):
            file.write_bytes(content)
            with pytest.raises(CredentialsError) as refusal:
                client.models()
            assert "between" not in str(refusal.value)
        file.unlink()
        with pytest.raises(CredentialsError, match="no token can be read there"):
            client.models()
    assert [sent["authorization"] for sent in service.metadata] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1:50051",
        "server.example:50051",
        "localhost.example:50051",
        "evil.localhost:50051",
        "localhost@10.0.0.1:50051",
        "ipv4:127.0.0.1:50051,10.0.0.1:50051",
        "dns://10.0.0.1/localhost:50051",
        "127.evil.example:50051",
        "[::2]:50051",
    ],
)
@pytest.mark.parametrize("options", [{"token": "secret"}, {"metadata": {"AUTHORIZATION": "secret"}}])
def test_a_token_is_not_sent_in_the_clear(make, address, options) -> None:
    with pytest.raises(CredentialsError, match="in the clear: use TLS") as refusal:
        make(address, **options)
    assert "secret" not in str(refusal.value)
    with make(address, tls=Tls(), **options):
        pass


@pytest.mark.parametrize(
    "address", ["localhost:1", "127.0.0.1:1", "[::1]:1", "ipv4:127.8.9.1:1", "ipv6:[::1]:1", "unix:/tmp/a.sock"]
)
def test_a_token_may_stay_on_this_machine(make, address) -> None:
    with make(address, token="secret"):
        pass


@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.CANCELLED])
@pytest.mark.parametrize("stream", [False, True])
def test_a_server_that_was_away_is_asked_again(service, client, grey, stream, code) -> None:
    service.fail(code, "restarting", times=2)
    explanation = client.explain_stream(grey, on_progress=lambda _: None) if stream else client.explain(grey)
    assert explanation.settings.seed == 0
    assert len(service.requests) == 3


def test_a_stream_that_was_cut_off_begins_anew(service, client, grey) -> None:
    service.break_off = 1
    heard: list[Progress] = []
    client.explain_stream(grey, on_progress=heard.append)
    assert [progress.steps_taken for progress in heard] == [80, 80, 160]


@pytest.mark.slow
def test_a_restart_of_five_seconds_is_outlasted(service, grey) -> None:
    results: dict[str, Any] = {}

    def ask(make: Any) -> None:
        with make(service.address, timeout=60) as client:
            client.models()
            ready.wait()
            down.wait(60)
            results[make.__name__] = client.explain_stream(grey, on_progress=lambda _: None)

    ready, down = threading.Barrier(3), threading.Event()
    askers = [threading.Thread(target=ask, args=(make,)) for make in (Client, Blocking)]
    for asker in askers:
        asker.start()
    ready.wait(60)
    service.stop()
    down.set()
    time.sleep(5)
    assert not results
    service.start()
    for asker in askers:
        asker.join(60)
    assert set(results) == {"Client", "Blocking"}


@pytest.mark.slow
def test_who_takes_a_connection_and_stays_silent_is_given_up(service, make, grey) -> None:
    """As a server does that hangs while it ends: the next may listen at its address already."""
    host, port = service.address.split(":")
    service.stop()
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        silent.bind((host, int(port)))
        silent.listen()

        def restart() -> None:
            held, _ = silent.accept()
            silent.close()
            service.start()
            assert service.dropped.wait(60)
            held.close()

        with make(service.address, timeout=60) as client, ThreadPoolExecutor(1) as threads:
            restarted = threads.submit(restart)
            assert client.explain(grey).settings.seed == 0
            restarted.result()


def test_a_client_that_is_closed_makes_no_call_again(service, grey) -> None:
    released, began = threading.Event(), threading.Event()
    service.events = waiting_events(released)
    ended: list[BaseException] = []

    def ask(client: Client) -> None:
        try:
            client.explain_stream(grey, on_progress=lambda _: began.set())
        except UnavailableError as error:
            ended.append(error)

    with Client(service.address) as client:
        asker = threading.Thread(target=ask, args=(client,))
        asker.start()
        began.wait(60)
    asker.join(60)
    released.set()
    assert [type(error) for error in ended] == [UnavailableError]


def test_patience_begins_with_the_first_failure_and_ends(service, make, grey) -> None:
    service.fail(StatusCode.UNAVAILABLE, "restarting", times=100)
    with make(service.address, patience=0.5) as client, pytest.raises(UnavailableError, match="restarting"):
        client.explain(grey)
    assert 2 <= len(service.requests) < 10


def test_a_busy_server_is_asked_again_when_it_said(service, client, grey) -> None:
    service.fail(StatusCode.RESOURCE_EXHAUSTED, "the queue is full", retry_after(0.3))
    started = time.monotonic()
    client.explain(grey)
    assert time.monotonic() - started >= 0.3
    assert len(service.requests) == 2


@pytest.mark.parametrize("limit", ["timeout", "patience"])
def test_no_retry_begins_after_the_limit(service, make, grey, limit) -> None:
    service.fail(StatusCode.RESOURCE_EXHAUSTED, "the queue is full", retry_after(600))
    with make(service.address, **{limit: 60}) as client, pytest.raises(BusyError):
        client.explain(grey)
    assert len(service.requests) == 1


@pytest.mark.parametrize("code", [StatusCode.INTERNAL, StatusCode.RESOURCE_EXHAUSTED, StatusCode.INVALID_ARGUMENT])
def test_what_would_end_the_same_is_not_tried_again(service, client, grey, code) -> None:
    service.fail(code, "no")
    with pytest.raises(MedxganClientError, match="no"):
        client.explain(grey)
    assert len(service.requests) == 1


def test_a_stream_without_a_result_is_the_servers_fault(service, client, grey) -> None:
    service.events = []
    with pytest.raises(ServerFaultError, match="without a result"):
        client.explain_stream(grey, on_progress=lambda _: None)


def waiting_events(released: threading.Event) -> Iterator[explanation_pb2.ExplainStreamResponse]:
    yield explanation_pb2.ExplainStreamResponse(
        progress=explanation_pb2.Progress(steps_taken=1, steps_total=2, phase=PHASE)
    )
    released.wait(60)


def test_a_caller_who_stops_listening_frees_the_server(service, client, grey) -> None:
    class StopListeningError(Exception):
        pass

    def stop(_: Progress) -> None:
        raise StopListeningError

    released = threading.Event()
    service.events = waiting_events(released)
    with pytest.raises(StopListeningError):
        client.explain_stream(grey, on_progress=stop)
    dropped = service.dropped.wait(60)
    released.set()
    assert dropped


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C interrupts; what is started in the background of a shell ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_frees_the_server(service, grey) -> None:
    service.hold.clear()

    def interrupt() -> None:
        while not service.requests:
            time.sleep(0.01)
        _thread.interrupt_main()

    # Python gives Ctrl-C to the main thread, in which the test runs.
    with Client(service.address) as client:
        threading.Thread(target=interrupt, daemon=True).start()
        # The exception is kept, and with it the call: that it is forgotten must not be what ends it.
        with pytest.raises(KeyboardInterrupt) as kept:
            client.explain(grey)
        assert service.requests
        assert service.dropped.wait(60)
    assert kept.traceback


@pytest.mark.parametrize("method", ["explain", "classify"])
def test_a_cancelled_task_frees_the_server(service, grey, method) -> None:
    service.hold.clear()

    async def run() -> None:
        async with AsyncClient(service.address) as client:
            task = asyncio.create_task(getattr(client, method)(grey))
            while not service.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(service.dropped.wait, 60)

    asyncio.run(run())


def test_a_cancelled_task_frees_the_server_in_a_stream(service, grey) -> None:
    released = threading.Event()
    service.events = waiting_events(released)

    async def run() -> None:
        async with AsyncClient(service.address) as client:
            begun = asyncio.Event()

            async def follow() -> None:
                async for _ in client.explain_stream(grey):
                    begun.set()

            task = asyncio.create_task(follow())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(service.dropped.wait, 60)

    try:
        asyncio.run(run())
    finally:
        released.set()


def test_many_tasks_share_a_client(service, grey) -> None:
    async def run() -> list[Explanation]:
        async with AsyncClient(service.address) as client:
            return await asyncio.gather(*(client.explain(grey, settings=Settings(seed=seed)) for seed in range(8)))

    assert [explanation.settings.seed for explanation in asyncio.run(run())] == list(range(8))


def test_the_timeout_ends_a_call(service, make, grey) -> None:
    service.hold.clear()
    with make(service.address, timeout=0.2) as client, pytest.raises(DeadlineExceededError):
        client.explain(grey)


@pytest.mark.slow
def test_a_silent_connection_is_checked_as_often_as_said(service, make, grey) -> None:
    # Checked ten times a second, a server that is set up no further complains.
    service.hold.clear()
    with (
        make(service.address, keepalive=0.1, patience=0, timeout=60) as client,
        pytest.raises(UnavailableError, match=r"(?i)too_many_pings|too many pings"),
    ):
        client.explain(grey)


def test_the_connection_is_not_checked_more_often_than_any_server_allows() -> None:
    # 300 seconds: gRPC's default for GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS.
    assert KEEPALIVE > 300


def test_no_server_is_said_to_be_unavailable(make) -> None:
    with socket.socket() as taken:
        # Bound but not listening: nobody answers there, and nobody else can take the port meanwhile.
        taken.bind(("127.0.0.1", 0))
        with make(f"127.0.0.1:{taken.getsockname()[1]}", patience=0.3) as client, pytest.raises(UnavailableError):
            client.models()


def test_loopback_is_reached_past_a_proxy(service, make, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with make(service.address, patience=0) as client:
        assert client.models()


@pytest.fixture
def no_proxies(monkeypatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_a_proxy_that_catches_a_local_address_is_named(make, no_proxies, monkeypatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}")
        with make("192.0.2.7:50051", patience=0) as client, pytest.raises(UnavailableError) as caught:
            client.models()
    assert "the variable http_proxy sends calls to 192.0.2.7 through a proxy" in str(caught.value)
    assert "add 192.0.2.7 to no_proxy" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "variables", "named"),
    [
        ("imaging:50051", {}, ""),
        ("imaging:50051", {"http_proxy": "p:1", "https_proxy": "p:1"}, "https_proxy"),
        ("dns:///imaging:50051", {"grpc_proxy": "p:1"}, "grpc_proxy"),
        ("imaging.hospital.example:50051", {"http_proxy": "p:1", "no_proxy": "a, .hospital.example"}, ""),
        ("imaging.hospital.example:50051", {"http_proxy": "p:1", "no_proxy": "a,b"}, "http_proxy"),
        ("10.1.2.3:50051", {"http_proxy": "p:1", "no_proxy": "10.0.0.0/8"}, ""),
        ("10.1.2.3:50051", {"http_proxy": "p:1", "no_grpc_proxy": "11.0.0.0/8", "no_proxy": "10.1.2.3"}, "http_proxy"),
        ("localhost:50051", {"http_proxy": "p:1"}, ""),
        ("[::1]:50051", {"http_proxy": "p:1"}, ""),
        ("unix:/run/medxgan.sock", {"http_proxy": "p:1"}, ""),
    ],
)
def test_which_proxy_catches_which_address(no_proxies, monkeypatch, address, variables, named) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    hint = proxy_hint(address)
    assert f"the variable {named} " in hint if named else not hint


def test_tls(service, make, grey, tmp_path) -> None:
    authority = trustme.CA()
    files = {name: tmp_path / f"{name}.pem" for name in ("authority", "certificate", "key")}
    own = authority.issue_cert("viewer.example")
    authority.cert_pem.write_to_path(files["authority"])
    own.cert_chain_pems[0].write_to_path(files["certificate"])
    own.private_key_pem.write_to_path(files["key"])
    shown = authority.issue_cert("127.0.0.1")
    pair = (shown.private_key_pem.bytes(), shown.cert_chain_pems[0].bytes())
    service.stop()
    service.start(grpc.ssl_server_credentials([pair], authority.cert_pem.bytes(), require_client_auth=True))

    with make(service.address, tls=Tls(**files)) as client:
        assert client.explain(grey).model.name == "chest"
    for wrong in (Tls(files["authority"]), Tls(), None):
        with make(service.address, tls=wrong, patience=0) as client, pytest.raises(UnavailableError):
            client.explain(grey)


def test_files_of_tls_that_can_not_be_used_are_named(make, tmp_path) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(CredentialsError, match=r"missing\.pem: No such file"):
        make("localhost:1", tls=Tls(missing))
    for half in (Tls(certificate=missing), Tls(key=missing)):
        with pytest.raises(CredentialsError, match="a certificate of the caller goes with its key"):
            make("localhost:1", tls=half)


def test_a_map_that_does_not_fit_its_shape_is_refused(service, client, grey) -> None:
    result = explanation_pb2.ExplainResponse(verdict=service.answer.verdict)
    result.maps.add(
        kind=explanation_pb2.MAP_KIND_ORIGINAL,
        tensor=explanation_pb2.Tensor(shape=[4, 4], data_type=bundle_pb2.DATA_TYPE_FLOAT32, data=bytes(4 * 15)),
    )
    service.events = [explanation_pb2.ExplainStreamResponse(result=result)]
    with pytest.raises(ServerFaultError, match=r"60 bytes for 16 values of 4 bytes each, the shape \[4, 4\]"):
        client.explain_stream(grey, on_progress=lambda _: None)
