"""Around every request: it is received within bounds, has one log line, and a status for whatever goes wrong."""

import asyncio
import secrets
import time
import traceback
from collections.abc import AsyncIterable, Awaitable, Callable
from types import TracebackType
from typing import Self

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from grpc_status import rpc_status

from medxgan.server.errors import InvalidRequestError, MedxganError, StoppingError
from medxgan.server.log import get_logger
from medxgan.server.wire.callers import caller_of, current_identity
from medxgan.server.wire.detaching import detached
from medxgan.server.wire.status import internal_status, known_status
from medxgan.server.wire.uploads import Upload, Uploads

_log = get_logger(__name__)

Handler = Callable[[Message, grpc.aio.ServicerContext], Awaitable[Message | None]]
RawHandler = Callable[[AsyncIterable[bytes], grpc.aio.ServicerContext], Awaitable[Message | None]]

_LARGE_BYTES = 2**20
"""Messages above this size are parsed off the event loop."""


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the methods of one service. They are coroutines; one that streams writes to its context.

    Args:
        service: full name of the service; other services' methods are left alone.
        uploads: receives the requests.
    """

    def __init__(self, service: str, uploads: Uploads) -> None:
        self._prefix = f"/{service}/"
        self._uploads = uploads
        self._running = 0
        self._refuses = False
        self._idle = asyncio.Event()
        self._idle.set()

    def refuse(self) -> None:
        """Refuse every request from now on; those that run go on."""
        self._refuses = True

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self._idle.is_set()

    async def idle(self) -> None:
        """Wait until no request is being answered."""
        await self._idle.wait()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Called by gRPC for every request, before its message has come."""
        handler = await continuation(handler_call_details)
        path = handler_call_details.method
        if handler is None or not path.startswith(self._prefix):
            return handler
        # A call with one message is on the wire what a stream of one message is; only a stream can be read when and as
        # long as the server chooses. Without a deserializer the message comes as it was sent.
        streams = handler.response_streaming
        wrap = grpc.stream_stream_rpc_method_handler if streams else grpc.stream_unary_rpc_method_handler
        method = handler.unary_stream if streams else handler.unary_unary
        return wrap(
            self._answered(method, handler.request_deserializer, path.removeprefix(self._prefix)),
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    def _answered(self, method: Handler, deserialize: Callable[[bytes], Message], name: str) -> RawHandler:
        async def answer(messages: AsyncIterable[bytes], context: grpc.aio.ServicerContext) -> Message | None:
            self._running += 1
            self._idle.clear()
            try:
                async with _Answer(name, context):
                    if self._refuses:
                        raise StoppingError("the server is stopping")
                    async with self._uploads.received(messages, caller_of(context), context.peer()) as upload:
                        return await method(await _parsed(deserialize, upload, self._uploads), context)
            finally:
                self._running -= 1
                if self._running == 0:
                    self._idle.set()

        return answer


async def _parsed(deserialize: Callable[[bytes], Message], upload: Upload, uploads: Uploads) -> Message:
    """The request, without the bytes of its image, which stay with the upload."""
    if len(upload.content) > _LARGE_BYTES:
        # Each copy of the bytes holds Python's lock; between two of them others have their turn.
        request = await asyncio.to_thread(_parsed_at_once, deserialize, upload)
        uploads.give_back_memory()
        return request
    return _parsed_at_once(deserialize, upload)


def _parsed_at_once(deserialize: Callable[[bytes], Message], upload: Upload) -> Message:
    try:
        request, upload.image_bytes = detached(deserialize(upload.take()))
        return request
    except DecodeError as error:
        raise InvalidRequestError("", "expected a message as explanation.proto states it, got other bytes") from error


class _Answer:
    """The time in which one request is answered."""

    def __init__(self, method: str, context: grpc.aio.ServicerContext) -> None:
        self._method = method
        self._context = context

    async def __aenter__(self) -> Self:
        structlog.contextvars.clear_contextvars()
        if identity := current_identity():
            structlog.contextvars.bind_contextvars(identity=identity)
        self._began = time.perf_counter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        match error:
            case None:
                self._log_request("OK")
            case asyncio.CancelledError():  # the caller has gone, or its deadline passed
                self._log_request("CANCELLED")
            case MedxganError():
                await self._abort(known_status(error))
            case Exception() if self._context.cancelled() or self._context.done():
                # Who writes to a stream that its reader has left is told so by an error, before the cancellation comes.
                self._log_request("CANCELLED")
            case Exception():
                await self._abort(_logged(error))

    async def _abort(self, status: status_pb2.Status) -> None:
        answer = rpc_status.to_status(status)
        self._log_request(answer.code.name)
        await self._context.abort(answer.code, answer.details, answer.trailing_metadata)

    def _log_request(self, code: str) -> None:
        duration = 1000 * (time.perf_counter() - self._began)
        _log.info("request", method=self._method, code=code, duration_ms=round(duration, 1))


def _logged(error: Exception) -> status_pb2.Status:
    """Log an error that nobody foresaw. Its text is left out: a library's error may quote the image."""
    identifier = secrets.token_hex(8)
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    _log.error("internal_error", id=identifier, error=type(error).__qualname__, frames=frames)
    return internal_status(identifier)
