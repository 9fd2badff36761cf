"""Traces as spans of OpenTelemetry. Imported only where there is a collector to send them to.

A request is a span, in the trace that its caller's `traceparent` names; the parts of its time are spans below it, made
when it has ended. No attribute holds anything of a patient, or text that a caller chose.
"""

import threading
import time
from importlib.metadata import version

from grpc import StatusCode
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, Status, set_span_in_context
from opentelemetry.trace import StatusCode as SpanStatus
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from medxgan.server.stopwatch import Phase, Stopwatch
from medxgan.server.telemetry.tracing import UNTRACED, Headers, RequestTrace, Traces

TRACEPARENT = "traceparent"
LONGEST_TRACEPARENT = 64
"""Characters; version 00 of W3C's Trace Context has 55."""

LAST_SPANS_SECONDS = 5.0
"""That a collector has to take the last spans when a server stops."""

SERVER_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
"""Statuses that make a server's span one of an error, by OpenTelemetry's conventions for gRPC."""


def spans_to(endpoint: str) -> "SpanTraces":
    """Spans sent in batches, by a thread of their own. What else OpenTelemetry's `OTEL_*` variables say holds."""
    exporter = OTLPSpanExporter(endpoint=endpoint)
    return SpanTraces(BatchSpanProcessor(exporter), exporter)


class SpanTraces(Traces):
    """Begins traces. The sampler is the one that the environment names.

    Args:
        processor: of the spans.
        exporter: that it sends them by.
    """

    def __init__(self, processor: SpanProcessor, exporter: SpanExporter) -> None:
        stated = {"service.name": "medxgan", "service.version": version("medxgan")}
        resource = Resource.create({**stated, **OTELResourceDetector().detect().attributes})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._exporter = exporter
        self._tracer = self._provider.get_tracer("medxgan.server", version("medxgan"))

    def request(self, service: str, method: str, headers: Headers) -> RequestTrace:
        """A request came; one that the sampler does not choose is not traced."""
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        span = self._tracer.start_span(
            f"{service}/{method}", _parent(headers), kind=SpanKind.SERVER, attributes=attributes
        )
        return SpanTrace(self, span) if span.is_recording() else UNTRACED

    def part(self, whole: Span, name: str, began: int, ended: int, attributes: dict[str, AttributeValue]) -> None:
        """A span below another that is over already; times in nanoseconds since 1970."""
        context = set_span_in_context(whole, Context())
        self._tracer.start_span(name, context, start_time=began, attributes=attributes).end(ended)

    def end(self) -> None:
        """Send the last spans; a collector that does not take them is not waited for."""
        ending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(LAST_SPANS_SECONDS)
        if ending.is_alive():
            self._exporter.shutdown()  # ends its retries
            ending.join(LAST_SPANS_SECONDS)


class SpanTrace(RequestTrace):
    """One request as a span.

    Args:
        traces: makes the spans below it.
        span: of the request.
    """

    def __init__(self, traces: SpanTraces, span: Span) -> None:
        self._traces = traces
        self._span = span
        self._began = time.perf_counter()
        self._epoch = time.time() - self._began
        self._stopwatch: Stopwatch | None = None
        self._steps: int | None = None

    def received(self) -> None:
        """Make the span of its arrival."""
        self._part("receive", self._began, time.perf_counter())

    def follow(self, stopwatch: Stopwatch) -> None:
        """Have its phases as spans, once it has ended."""
        self._stopwatch = stopwatch

    def decoded(self, form: str, began: float) -> None:
        """Make the span of its decoding."""
        self._part("decode", began, time.perf_counter(), {"medxgan.image.form": form})

    def answered(self, model: str, verdict: str = "", steps: int | None = None) -> None:
        """Say so in attributes."""
        self._steps = steps
        self._span.set_attribute("medxgan.model", model)
        if verdict:
            self._span.set_attribute("medxgan.verdict", verdict)

    def ended(self, code: str) -> None:
        """End the span, and make those of its phases."""
        for phase, began, ended in () if self._stopwatch is None else self._stopwatch.intervals():
            counts = phase is Phase.INVERSION and self._steps is not None
            self._part(phase.value, began, ended, {"medxgan.inversion.steps": self._steps or 0} if counts else {})
        self._span.set_attribute("rpc.grpc.status_code", StatusCode[code].value[0])
        if code in SERVER_FAULTS:
            self._span.set_status(Status(SpanStatus.ERROR))
        self._span.end()

    def _part(self, name: str, began: float, ended: float, attributes: dict[str, AttributeValue] | None = None) -> None:
        self._traces.part(self._span, name, self._nanoseconds(began), self._nanoseconds(ended), attributes or {})

    def _nanoseconds(self, moment: float) -> int:
        return round(1e9 * (self._epoch + moment))


def _parent(headers: Headers) -> Context:
    """The caller's span, if it names one and no more. `tracestate` and baggage are a caller's text, and left."""
    sent = [value for name, value in headers if name == TRACEPARENT]
    if len(sent) != 1 or not isinstance(sent[0], str) or len(sent[0]) > LONGEST_TRACEPARENT:
        return Context()
    return TraceContextTextMapPropagator().extract({TRACEPARENT: sent[0]}, Context())
