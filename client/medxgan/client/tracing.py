"""The application's trace goes on in the server: W3C's `traceparent` names the span in which a call is made."""

import sys
from typing import Any


def trace_headers() -> tuple[tuple[str, str], ...]:
    """The header of the current span; none where the application has none.

    OpenTelemetry is not imported here: an application that has a current span has imported it.
    """
    opentelemetry: Any = sys.modules.get("opentelemetry.trace")
    if opentelemetry is None:
        return ()
    span = opentelemetry.get_current_span().get_span_context()
    if not span.is_valid:
        return ()
    return (("traceparent", f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"),)
