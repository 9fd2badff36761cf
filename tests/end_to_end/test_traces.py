"""Where the time of a request went, told to a collector, in the trace of whoever asked."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from tests.end_to_end.guarded import guarded
from tests.server.several import PIXELS, write_bundle

from medxgan.client import AsyncClient, Client, InvalidRequestError
from medxgan.server.embedded import EmbeddedServer
from medxgan.v1.bundle_pb2 import DATA_TYPE_UINT8
from medxgan.v1.explanation_pb2 import ClassifyRequest, ExplainRequest, Image, ListModelsRequest, Tensor
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

POISON = "Doe^Jane"
FILM = np.arange(400, dtype=np.uint8).reshape(20, 20)
IMAGE = Image(tensor=Tensor(shape=FILM.shape, data_type=DATA_TYPE_UINT8, data=FILM.tobytes()))
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARTS = {"receive", "decode", "queued", "preprocess", "maps"}


class Collector(TraceServiceServicer):
    """Takes spans as OpenTelemetry's collector does."""

    def __init__(self) -> None:
        self.taken: list[ExportTraceServiceRequest] = []

    def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:  # noqa: N802
        self.taken.append(request)
        return ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for each in self.taken
            for of in each.resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> Span:
        (span,) = [span for span in self.spans if span.name.endswith(name)]
        return span

    def below(self, span: Span) -> dict[str, Span]:
        return {each.name: each for each in self.spans if each.parent_span_id == span.span_id}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector on loopback, which servers that are started meanwhile send their spans to."""
    taking = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(taking, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("MEDXGAN_TRACES_ENDPOINT", f"http://127.0.0.1:{port}")
    yield taking
    server.stop(None).wait()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that classifies and makes maps, and inverts nothing."""
    folder = tmp_path_factory.mktemp("models")
    write_bundle(folder / "several" / "1", np.ones((3, PIXELS * PIXELS), np.float32))
    return folder


def attributes(span: Span) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def test_the_parts_of_a_request_are_spans_of_its_callers_trace(collector: Collector, several: Path) -> None:
    with EmbeddedServer(several, "cpu") as server, grpc.insecure_channel(server.address) as channel:
        stub = ExplanationServiceStub(channel)
        headers = [("traceparent", f"00-{TRACE}-{PARENT}-01"), ("tracestate", f"patient={POISON}"), ("baggage", POISON)]
        stub.Explain(ExplainRequest(image=IMAGE), metadata=[*headers, ("patient", POISON)])
        stub.Classify(ClassifyRequest(image=IMAGE))
    explained = collector.named("/Explain")
    assert explained.name == "medxgan.v1.ExplanationService/Explain"
    assert explained.kind == Span.SPAN_KIND_SERVER
    assert (explained.trace_id.hex(), explained.parent_span_id.hex()) == (TRACE, PARENT)
    told = attributes(explained)
    assert told.pop("medxgan.verdict") in {"NOT_ASSESSED", "NOT_APPLICABLE"}
    assert told == {
        "rpc.system": "grpc",
        "rpc.service": "medxgan.v1.ExplanationService",
        "rpc.method": "Explain",
        "rpc.grpc.status_code": 0,
        "medxgan.model": "several/1",
    }
    parts = collector.below(explained)
    assert parts.keys() == PARTS
    assert attributes(parts["decode"]) == {"medxgan.image.form": "tensor"}
    for part in parts.values():
        assert part.trace_id == explained.trace_id
        assert explained.start_time_unix_nano <= part.start_time_unix_nano + 10**6
        assert part.end_time_unix_nano <= explained.end_time_unix_nano + 10**6
    assert parts["receive"].end_time_unix_nano <= parts["maps"].start_time_unix_nano
    classified = collector.named("/Classify")
    assert classified.trace_id != explained.trace_id
    assert classified.parent_span_id == b""
    resource = {each.key: each.value.string_value for each in collector.taken[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "medxgan"
    assert POISON.encode() not in b"".join(each.SerializeToString() for each in collector.taken)


def test_an_inversion_says_its_steps(collector: Collector, models: Path) -> None:
    with EmbeddedServer(models, "cpu") as server, grpc.insecure_channel(server.address) as channel:
        request = ExplainRequest(image=IMAGE)
        request.settings.inversion.steps = 7
        ExplanationServiceStub(channel).Explain(request)
        infer = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        assert list(infer(iter([b"\xff"])))
    explained = collector.below(collector.named("/Explain"))
    assert explained.keys() == PARTS | {"inversion"}
    assert attributes(explained["inversion"]) == {"medxgan.inversion.steps": 7}
    assert attributes(collector.named("/ModelStreamInfer"))["rpc.grpc.status_code"] == 3


@pytest.mark.slow
def test_both_clients_say_in_which_span_they_ask(collector: Collector, several: Path) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("application")

    async def ask(address: str) -> None:
        async with AsyncClient(address) as client:
            await client.models()

    with EmbeddedServer(several, "cpu") as server, Client(server.address) as client:
        with tracer.start_as_current_span("reading") as reading:
            client.classify(FILM)
            asyncio.run(ask(server.address))
            with pytest.raises(InvalidRequestError):
                client.explain_stream(b"nothing", on_progress=print)
        client.server()
    context = reading.get_span_context()
    asked: dict[tuple[str, str], list[str]] = {}
    for span in collector.spans:
        if span.kind == Span.SPAN_KIND_SERVER:
            asked.setdefault((span.trace_id.hex(), span.parent_span_id.hex()), []).append(span.name.rpartition("/")[2])
    inside = asked.pop((f"{context.trace_id:032x}", f"{context.span_id:016x}"))
    assert inside == ["Classify", "ListModels", "ExplainStream"]
    ((outside, methods),) = asked.items()
    assert (outside[1], methods) == ("", ["ListModels"])


@pytest.mark.parametrize(
    "sent",
    [
        [("traceparent", f"ff-{TRACE}-{PARENT}-01")],
        [("traceparent", f"00-{'0' * 32}-{PARENT}-01")],
        [("traceparent", f"00-{TRACE}-{PARENT}-01-{POISON}")],
        [("traceparent", f"cc-{TRACE}-{PARENT}-01-" + "x" * 400)],
        [("traceparent", POISON)],
        [("traceparent", "")],
        [("traceparent-bin", f"00-{TRACE}-{PARENT}-01".encode())],
    ],
)
def test_what_is_no_parent_begins_a_trace_of_its_own(
    collector: Collector, sent: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    with guarded() as address, grpc.insecure_channel(address) as channel:
        ExplanationServiceStub(channel).ListModels(ListModelsRequest(), metadata=sent)
    (asked,) = [span for span in collector.spans if span.name.endswith("/ListModels")]
    assert asked.parent_span_id == b""
    assert asked.trace_id.hex() != TRACE
    assert POISON not in caplog.text


def test_a_caller_whose_trace_is_not_kept_is_not_traced(collector: Collector) -> None:
    with guarded() as address, grpc.insecure_channel(address) as channel:
        headers = [("traceparent", f"00-{TRACE}-{PARENT}-00")]
        ExplanationServiceStub(channel).ListModels(ListModelsRequest(), metadata=headers)
    assert collector.spans == []


@pytest.mark.parametrize("away", ["refuses", "silent"])
def test_a_collector_that_is_away_holds_nothing_up(
    away: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("medxgan.server.telemetry.spans.LAST_SPANS_SECONDS", 0.2)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if away == "silent":
            listening.listen()
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with guarded(traces_endpoint=endpoint) as address, grpc.insecure_channel(address) as channel:
            for _ in range(5):
                ExplanationServiceStub(channel).ListModels(ListModelsRequest())
    assert not [thread for thread in threading.enumerate() if thread.name == "last spans"]


@pytest.mark.slow
def test_without_opentelemetry_there_are_no_traces_and_who_wants_some_hears_how() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
import medxgan.client, medxgan.server.serving
from medxgan.client.tracing import trace_headers
from medxgan.server.errors import UnsupportedError
from medxgan.server.telemetry.tracing import open_traces
assert trace_headers() == ()
open_traces("")
try:
    open_traces("http://127.0.0.1:4317")
except UnsupportedError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "traces_endpoint: traces take OpenTelemetry: pip install 'medxgan[tracing]'\n"


@pytest.mark.slow
def test_a_server_without_traces_does_not_import_opentelemetry() -> None:
    program = """
import sys
import medxgan.client, medxgan.server.serving
from medxgan.server.telemetry.tracing import open_traces
open_traces("")
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert trace.get_current_span().get_span_context().is_valid is False


@pytest.mark.parametrize("endpoint", ["collector:4317", "http://collector", "ftp://collector:4317", "http://a@b:1"])
def test_an_endpoint_is_a_url_of_http(endpoint: str) -> None:
    with pytest.raises(ValueError, match="traces_endpoint"), guarded(traces_endpoint=endpoint):
        pass
