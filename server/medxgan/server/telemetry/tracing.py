"""Traces of requests: what is told of each while it is answered, whether or not anybody listens."""

from collections.abc import Iterable
from contextvars import ContextVar

from medxgan.server.errors import UnsupportedError
from medxgan.server.stopwatch import Stopwatch

Headers = Iterable[tuple[str, str | bytes]]


class RequestTrace:
    """What one request is told to. This one forgets it all."""

    def received(self) -> None:
        """Its message has come and been read."""

    def follow(self, stopwatch: Stopwatch) -> None:
        """Its time goes by this stopwatch."""

    def decoded(self, form: str, began: float) -> None:
        """Its image has become a film.

        Args:
            form: `tensor`, `encoded` or `dicom`.
            began: `time.perf_counter()` when it was the image's turn to be decoded.
        """

    def answered(self, model: str, verdict: str = "", steps: int | None = None) -> None:
        """Its answer is there.

        Args:
            model: NAME/VERSION.
            verdict: its name; empty for a score.
            steps: of the inversion; None where nothing was inverted.
        """

    def ended(self, code: str) -> None:
        """It was answered, with the gRPC status of that name."""


class Traces:
    """Begins traces of requests. This one begins none."""

    def request(self, service: str, method: str, headers: Headers) -> RequestTrace:
        """A request came.

        Args:
            service: full name.
            method: of the service.
            headers: of the call, by lower-case name; only `traceparent` is looked at.
        """
        del service, method, headers
        return UNTRACED

    def end(self) -> None:
        """Tell what was not told yet, within some seconds. May block."""


UNTRACED = RequestTrace()
_current: ContextVar[RequestTrace] = ContextVar("trace", default=UNTRACED)


def current_trace() -> RequestTrace:
    """The trace of the request that this task answers."""
    return _current.get()


def enter_trace(trace: RequestTrace) -> None:
    """What this task answers from now on is told to that trace."""
    _current.set(trace)


def open_traces(endpoint: str) -> Traces:
    """Traces that go to an OpenTelemetry collector.

    Args:
        endpoint: its URL, OTLP over gRPC; empty: traces of nothing.

    Raises:
        UnsupportedError: OpenTelemetry is not installed.
    """
    if not endpoint:
        return Traces()
    try:
        from medxgan.server.telemetry.spans import spans_to
    except ModuleNotFoundError as error:
        raise UnsupportedError("traces_endpoint: traces take OpenTelemetry: pip install 'medxgan[tracing]'") from error
    return spans_to(endpoint)
