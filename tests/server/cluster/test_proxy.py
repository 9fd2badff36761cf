"""What Ray's proxy says by itself is said as our server would, and what a replica says is left as it is."""

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from medxgan.server.cluster.proxy import add_explanations
from medxgan.server.errors import BusyError, UnknownModelError, UnsupportedError
from medxgan.server.wire.status import known_status, to_wire
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceServicer

DETAILS = "grpc-status-details-bin"
RAYS_TEXT = "The actor died at 192.0.2.7 on node 3f"


class Context:
    """The context of a call in the proxy."""

    def __init__(self) -> None:
        self._code, self._details, self._trailing = 0, "", (("request_id", "1"),)

    def code(self) -> int:
        return self._code

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code.value[0]

    def details(self) -> str:
        return self._details

    def set_details(self, details: str) -> None:
        self._details = details

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._trailing

    def set_trailing_metadata(self, trailing: tuple[tuple[str, str | bytes], ...]) -> None:
        self._trailing = tuple(trailing)


class Proxy:
    """Takes handlers as Ray's does: each is replaced by what its factory makes."""

    def __init__(self, status: grpc.Status) -> None:
        async def unary(request: object, context: Context) -> bytes:
            self._end(context, status)
            return b"answer"

        async def stream(request: object, context: Context):
            yield b"first"
            self._end(context, status)

        self.service_handler_factory = lambda service_method, streams: stream if streams else unary
        self.handlers: dict[str, object] = {}

    def _end(self, context: Context, status: grpc.Status) -> None:
        context.set_code(status.code)
        context.set_details(status.details)
        context.set_trailing_metadata((*context.trailing_metadata(), *status.trailing_metadata))

    def add_generic_rpc_handlers(self, handlers) -> None:
        for method, handler in handlers[0]._method_handlers.items():
            made = self.service_handler_factory(method, streams=handler.response_streaming)
            self.handlers[method.rpartition("/")[2]] = made

    def add_registered_method_handlers(self, service, handlers) -> None:
        """The same once more."""


class RaysStatus(grpc.Status):
    """One without details."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self.code, self.details, self.trailing_metadata = code, RAYS_TEXT, ()


def ended(method: str, status: grpc.Status) -> tuple[Context, list[bytes]]:
    """How a call ends, and what it was answered."""
    proxy, context = Proxy(status), Context()
    factory = proxy.service_handler_factory
    add_explanations(ExplanationServiceServicer(), proxy)
    assert proxy.service_handler_factory is factory

    async def call() -> list[bytes]:
        answer = proxy.handlers[method](b"", context)
        return [message async for message in answer] if hasattr(answer, "__aiter__") else [await answer]

    return context, asyncio.run(call())


@pytest.mark.parametrize("method", ["Explain", "ExplainStream"])
@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE])
def test_a_replica_that_has_gone_is_one_to_try_again_on(method: str, code: grpc.StatusCode) -> None:
    context, answer = ended(method, RaysStatus(code))
    assert answer == [b"answer" if method == "Explain" else b"first"]
    assert context.code() == grpc.StatusCode.UNAVAILABLE.value[0]
    assert context.details()
    assert RAYS_TEXT not in context.details()
    assert dict(context.trailing_metadata())["request_id"] == "1"


@pytest.mark.parametrize("method", ["Explain", "ExplainStream"])
def test_a_full_queue_says_when_to_try_again(method: str) -> None:
    context, _ = ended(method, RaysStatus(grpc.StatusCode.RESOURCE_EXHAUSTED))
    assert context.code() == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    status = status_pb2.Status.FromString(dict(context.trailing_metadata())[DETAILS])
    assert error_details_pb2.RetryInfo.FromString(status.details[0].value).retry_delay.seconds == 2


@pytest.mark.parametrize("method", ["Explain", "ExplainStream"])
@pytest.mark.parametrize("error", [UnknownModelError("no model x"), BusyError("busy", 7)])
def test_a_status_of_a_replica_stays_as_it_is(method: str, error: UnknownModelError) -> None:
    status = to_wire(known_status(error))
    context, _ = ended(method, status)
    assert context.code() == status.code.value[0]
    assert context.details() == str(error)
    assert dict(context.trailing_metadata())[DETAILS] == dict(status.trailing_metadata)[DETAILS]


@pytest.mark.parametrize("code", [grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED])
def test_deadlines_and_callers_who_left_are_rays_to_tell(code: grpc.StatusCode) -> None:
    context, _ = ended("Explain", RaysStatus(code))
    assert context.code() == code.value[0]


def test_a_release_of_ray_that_works_in_another_way_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"2\.60"):
        add_explanations(object(), object())
