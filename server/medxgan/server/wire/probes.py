"""Probes: calls that are open to all, whose messages hold a name at most and wait for nobody's image."""

from collections.abc import AsyncIterable, Awaitable, Callable

import grpc
from google.protobuf.message import DecodeError, Message

from medxgan.server.errors import InvalidRequestError, MedxganError
from medxgan.server.identity.limits import CallerLimits
from medxgan.server.identity.roles import role_of
from medxgan.server.images.places import Places
from medxgan.server.wire.callers import caller_of, counted_as
from medxgan.server.wire.status import abort
from medxgan.server.wire.uploads import first_message

MOST_BYTES = 4096
"""Of a message: it is dropped where it has more."""

AT_ONCE = 8
"""Messages that are received at once, of callers in turn."""

ARRIVAL_SECONDS = 2.0
"""That a message, which is sent together with its call, may take to arrive once it is its turn."""

Method = Callable[[Message, grpc.aio.ServicerContext], Awaitable[Message | None]]
Deserialize = Callable[[bytes], Message]
Answer = Callable[[AsyncIterable[bytes], grpc.aio.ServicerContext], Awaitable[Message | None]]


class ProbeInterceptor(grpc.aio.ServerInterceptor):
    """Receives the messages of methods that are open to all, in places of their own.

    Args:
        limits: of each caller, which bound a watch as they do a request.
        arrival_seconds: see `ARRIVAL_SECONDS`.
    """

    def __init__(self, limits: CallerLimits, arrival_seconds: float = ARRIVAL_SECONDS) -> None:
        self._limits = limits
        self._arrival_seconds = arrival_seconds
        self._places = Places(AT_ONCE)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Called by gRPC for every request, before its message has come."""
        handler = await continuation(handler_call_details)
        if handler is None or role_of(handler_call_details.method) is not None:
            return handler
        # As a stream of one message, so that it is received when the server chooses (see `uploads`).
        streams = handler.response_streaming
        wrap = grpc.stream_stream_rpc_method_handler if streams else grpc.stream_unary_rpc_method_handler
        method = handler.unary_stream if streams else handler.unary_unary
        return wrap(
            self._answered(method, handler.request_deserializer),
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    def _answered(self, method: Method, deserialize: Deserialize) -> Answer:
        async def answer(messages: AsyncIterable[bytes], context: grpc.aio.ServicerContext) -> Message | None:
            try:
                caller = counted_as(caller_of(context))
                with self._limits.request(caller):
                    return await method(await self._received(messages, caller, deserialize), context)
            except MedxganError as error:
                await abort(context, error)
            return None

        return answer

    async def _received(self, messages: AsyncIterable[bytes], caller: str, deserialize: Deserialize) -> Message:
        async with self._places.place(caller):
            content = await first_message(messages, self._arrival_seconds)
        return small_message(content, deserialize)


def small_message(content: bytes, deserialize: Deserialize) -> Message:
    """A message that holds names at most.

    Raises:
        InvalidRequestError: it is large, or none of the method.
    """
    if len(content) > MOST_BYTES:
        raise InvalidRequestError("", f"expected a message of at most {MOST_BYTES} bytes, got {len(content)}")
    try:
        return deserialize(content)
    except DecodeError as error:
        raise InvalidRequestError("", "expected a message of this method, got other bytes") from error
