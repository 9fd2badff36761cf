"""Around every request: one log line, and a status for whatever goes wrong."""

import asyncio
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable
from types import TracebackType

import grpc
import structlog
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status

from medxgan.server.errors import MedxganError
from medxgan.server.log import get_logger
from medxgan.server.services.status import internal_status, known_status

_log = get_logger(__name__)

Handler = Callable[[Message, grpc.aio.ServicerContext], Awaitable[Message | None]]


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the methods of one service. They are coroutines; one that streams writes to its context.

    Args:
        service: full name of the service; other services' methods are left alone.
    """

    def __init__(self, service: str) -> None:
        self._prefix = f"/{service}/"

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Called by gRPC for every request."""
        handler = await continuation(handler_call_details)
        path = handler_call_details.method
        if handler is None or not path.startswith(self._prefix):
            return handler
        wrap = (
            grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
        )
        method = handler.unary_stream if handler.response_streaming else handler.unary_unary
        return wrap(
            _answered(method, path.removeprefix(self._prefix)),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _answered(method: Handler, name: str) -> Handler:
    async def answer(request: Message, context: grpc.aio.ServicerContext) -> Message | None:
        async with _Answer(name, context):
            return await method(request, context)

    return answer


class _Answer:
    """The time in which one request is answered."""

    def __init__(self, method: str, context: grpc.aio.ServicerContext) -> None:
        self._method = method
        self._context = context

    async def __aenter__(self) -> None:
        structlog.contextvars.clear_contextvars()
        self._began = time.perf_counter()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        match error:
            case None:
                self._log_request("OK")
            case MedxganError():
                await self._abort(known_status(error))
            case asyncio.CancelledError():  # the caller has gone, or its deadline passed
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
