"""Calls that somebody else's gRPC server took: answered by our services, through our interceptors."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2

from medxgan.server.wire.interceptor import log_internal_error
from medxgan.server.wire.status import internal_status, to_wire

Metadata = Sequence[tuple[str, str | bytes]]
Write = Callable[[Message], Awaitable[None]]


class ForeignContext(Protocol):
    """What a call brings along, as `ray.serve.grpc_util.RayServegRPCContext` has it."""

    def peer(self) -> str:
        """Address of the caller."""

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """What the connection says of the caller."""

    def invocation_metadata(self) -> Metadata:
        """Headers."""


class RefusedError(Exception):
    """A call ends with a status other than OK, which has a google.rpc.Status: by it `proxy.py` knows one of ours."""

    def __init__(self, code: grpc.StatusCode, details: str, trailing_metadata: Metadata = ()) -> None:
        super().__init__(code.name)
        self.code = code
        self.details = details
        trailing = dict(to_wire(status_pb2.Status(code=code.value[0], message=details)).trailing_metadata)
        self.trailing_metadata = list((trailing | dict(trailing_metadata)).items())


@dataclass(frozen=True)
class Call:
    """One call, with what our services use of `grpc.aio.ServicerContext`.

    Whoever leaves is told of by a cancellation alone: it is never `done` for those who still answer it.

    Attributes:
        foreign: what it brings along.
        write: sends a message of a stream.
    """

    foreign: ForeignContext
    write: Write

    def peer(self) -> str:
        """Address of the caller."""
        return self.foreign.peer()

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """What the connection says of the caller."""
        return self.foreign.auth_context()

    def invocation_metadata(self) -> Metadata:
        """Headers."""
        return self.foreign.invocation_metadata()

    def cancelled(self) -> bool:
        """Whether the caller has left."""
        return False

    def done(self) -> bool:
        """Whether the call has ended."""
        return False

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> None:
        """End the call.

        Raises:
            RefusedError: always.
        """
        raise RefusedError(code, details, trailing_metadata)


class Handlers:
    """Stands in for a `grpc.aio.Server` that services are added to, and gives their answers.

    Args:
        interceptors: around every call, the outermost first.
        maximum_message_bytes: of the largest request.
    """

    def __init__(self, interceptors: Sequence[grpc.aio.ServerInterceptor], maximum_message_bytes: int) -> None:
        self._interceptors = interceptors
        self._maximum_message_bytes = maximum_message_bytes
        self._handlers: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Called by generated code."""
        self._handlers += handlers

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        """Called by generated code, with what it adds as generic handlers too."""

    async def answer(self, method: str, request: Message, call: Call) -> Message | None:
        """Answer a call.

        Args:
            method: /SERVICE/METHOD.
            request: its one message.
            call: it; messages of a stream are written to it.

        Returns:
            The message, or None of a method that streams.

        Raises:
            RefusedError: the status that it ends with.
        """
        try:
            return await self._answer(method, request, call)
        except RefusedError:
            raise
        except Exception as error:  # noqa: BLE001 - Ray would quote it to the caller, and in its log
            status = to_wire(internal_status(log_internal_error(error)))
            raise RefusedError(status.code, status.details, status.trailing_metadata) from None

    async def _answer(self, method: str, request: Message, call: Call) -> Message | None:
        content = request.SerializeToString()
        if len(content) > self._maximum_message_bytes:
            most = f"Received message larger than max ({len(content)} vs. {self._maximum_message_bytes})"
            raise RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, most)
        handler = await self._handler(_Details(method, call.invocation_metadata()))
        if handler is None:
            raise RefusedError(grpc.StatusCode.UNIMPLEMENTED, f"no method {method}")
        behaviour = getattr(handler, _KINDS[handler.request_streaming, handler.response_streaming])
        # Our interceptor receives one message as a stream of one.
        message = _once(content) if handler.request_streaming else handler.request_deserializer(content)
        del content, request
        answer: Message | None = await behaviour(message, call)
        return answer

    async def _handler(self, details: "_Details") -> grpc.RpcMethodHandler | None:
        async def innermost(details: _Details) -> grpc.RpcMethodHandler | None:
            return next((found for each in self._handlers if (found := each.service(details)) is not None), None)

        find: Callable[[_Details], Awaitable[grpc.RpcMethodHandler | None]] = innermost
        for interceptor in reversed(self._interceptors):
            find = partial(interceptor.intercept_service, find)
        return await find(details)


@dataclass(frozen=True)
class _Details:
    """What `grpc.HandlerCallDetails` is."""

    method: str
    invocation_metadata: Metadata


_KINDS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
