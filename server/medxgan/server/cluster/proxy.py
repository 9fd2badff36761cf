"""What runs in Ray's gRPC proxies: our services by their descriptions, and our statuses for what Ray itself refuses.

Ray hands every call on to a replica. A status that a replica gives has our details; one without them is Ray's own, with
a text of Ray's, and a code that clients would not try again on.
"""

import inspect
from collections.abc import AsyncIterator, Callable
from functools import wraps
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from medxgan.server.errors import BusyError, MedxganError, StoppingError, UnsupportedError
from medxgan.server.wire.status import DETAILS_KEY, known_status, to_wire
from medxgan.v1 import explanation_pb2_grpc

SERVICER_FUNCTIONS = [f"{__name__}.add_explanations", f"{__name__}.add_health"]
"""Of `ray.serve.config.gRPCOptions`."""

RETRY_SECONDS = 2.0
"""After which a caller that Ray's queue had no place for is asked to try again."""

_FULL = BusyError("as many requests wait as may", RETRY_SECONDS)
_GONE = StoppingError("no replica answers at the moment, or the one that did has gone")
_OF_RAY: dict[int, MedxganError] = {
    grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]: _FULL,  # its queue is full
    grpc.StatusCode.INTERNAL.value[0]: _GONE,  # the replica or its node has died
    grpc.StatusCode.NOT_FOUND.value[0]: _GONE,  # the application is not there yet, or not any more
    grpc.StatusCode.UNAVAILABLE.value[0]: _GONE,  # the application failed
}

Handler = Callable[[Any, grpc.aio.ServicerContext], Any]


def add_explanations(servicer: object, server: grpc.aio.Server) -> None:
    """Have Ray's proxy take calls of `ExplanationService`; called by Ray."""
    _add(explanation_pb2_grpc.add_ExplanationServiceServicer_to_server, servicer, server)


def add_health(servicer: object, server: grpc.aio.Server) -> None:
    """Have Ray's proxy take calls of gRPC's health service; called by Ray."""
    _add(health_pb2_grpc.add_HealthServicer_to_server, servicer, server)


def _add(add: Callable[[Any, Any], None], servicer: object, server: Any) -> None:
    factory = getattr(server, "service_handler_factory", None)
    if factory is None:
        raise UnsupportedError("this release of Ray makes its handlers in another way; medxgan is tested with 2.60")

    @wraps(factory)
    def make(*arguments: Any, **options: Any) -> Handler:
        return _answering_as_ours(factory(*arguments, **options))

    server.service_handler_factory = make
    try:
        add(servicer, server)
    finally:
        server.service_handler_factory = factory


def _answering_as_ours(handler: Handler) -> Handler:
    """A handler of Ray's with our statuses: a coroutine function or a generator, as it is one; gRPC looks."""
    if inspect.isasyncgenfunction(handler):

        async def stream(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            async for message in handler(request, context):
                yield message
            correct(context)

        return stream

    async def unary(request: Any, context: grpc.aio.ServicerContext) -> bytes:
        answer: bytes = await handler(request, context)
        correct(context)
        return answer

    return unary


def correct(context: grpc.aio.ServicerContext) -> None:
    """Give a call that ends with a status of Ray's one of ours."""
    error = _OF_RAY.get(_number(context.code()))
    trailing = tuple(context.trailing_metadata() or ())
    if error is None or any(key == DETAILS_KEY for key, _ in trailing):
        return
    status = to_wire(known_status(error))
    context.set_code(status.code)
    context.set_details(status.details)
    context.set_trailing_metadata((*trailing, *status.trailing_metadata))


def _number(code: grpc.StatusCode | int | None) -> int:
    return code.value[0] if isinstance(code, grpc.StatusCode) else int(code or 0)
