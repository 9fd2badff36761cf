"""Around every request: it is received within bounds, has one log line, and a status for whatever goes wrong."""

import asyncio
import secrets
import time
import traceback
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Self

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2

from medxgan.server.errors import InvalidRequestError, MedxganError, StoppingError
from medxgan.server.identity.roles import role_of
from medxgan.server.log import get_logger
from medxgan.server.shedding import Shedding
from medxgan.server.telemetry.metrics import Metrics
from medxgan.server.telemetry.tracing import UNTRACED, RequestTrace, Traces, current_trace, enter_trace
from medxgan.server.wire.callers import caller_of, current_identity
from medxgan.server.wire.detaching import detached
from medxgan.server.wire.status import internal_status, known_status, to_wire
from medxgan.server.wire.streams import RequestStream, answer_each
from medxgan.server.wire.uploads import Upload, Uploads

_log = get_logger(__name__)

Handler = Callable[[Message, grpc.aio.ServicerContext | RequestStream], Awaitable[Message | None]]
RawHandler = Callable[[AsyncIterable[bytes], grpc.aio.ServicerContext], Awaitable[Message | None]]
Deserialize = Callable[[bytes], Message]
Detach = Callable[[Message], tuple[Message, bytes]]
Refuse = Callable[[status_pb2.Status], Awaitable[None]]
StreamError = Callable[[status_pb2.Status, Message | None], Message]

_LARGE_BYTES = 2**20
"""Messages above this size are parsed off the event loop."""


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the methods of one service. They are coroutines; one that streams writes to its context.

    A method that takes a stream of requests is called for each of them, with a context that they share.

    Args:
        service: full name of the service; other services' methods are left alone.
        uploads: receives the requests.
        metrics: counts the requests.
        shedding: refuses requests while memory is short, but for those that are open to all: probes.
        traces: are told of the requests.
        detach: takes the bytes of its image out of a request.
        stream_error: what a stream of requests answers to one that fails, of the status and of the request, where it
            could be read: the others go on. Not needed by a service without such streams.
        stream_idle_seconds: after which a stream of requests is ended that sends nothing and waits for nothing.
    """

    def __init__(
        self,
        service: str,
        uploads: Uploads,
        metrics: Metrics,
        shedding: Shedding,
        traces: Traces,
        detach: Detach = detached,
        stream_error: StreamError | None = None,
        stream_idle_seconds: float = 600.0,
    ) -> None:
        self._metrics = metrics
        self._service = service
        self._prefix = f"/{service}/"
        self._uploads = uploads
        self._detach = detach
        self._shedding = shedding
        self._traces = traces
        self._stream_error = stream_error
        self._stream_idle_seconds = stream_idle_seconds
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
        name = path.removeprefix(self._prefix)
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._answered_each(handler.stream_stream, handler.request_deserializer, name),
                request_deserializer=None,
                response_serializer=handler.response_serializer,
            )
        # A call with one message is on the wire what a stream of one message is; only a stream can be read when and as
        # long as the server chooses. Without a deserializer the message comes as it was sent.
        streams = handler.response_streaming
        wrap = grpc.stream_stream_rpc_method_handler if streams else grpc.stream_unary_rpc_method_handler
        method = handler.unary_stream if streams else handler.unary_unary
        return wrap(
            self._answered(method, handler.request_deserializer, name),
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    def _answered(self, method: Handler, deserialize: Deserialize, name: str) -> RawHandler:
        async def answer(messages: AsyncIterable[bytes], context: grpc.aio.ServicerContext) -> Message | None:
            with self._counted():
                async with self._answer(name, context, _aborting(context)):
                    with self._let_in(name):
                        async with self._uploads.received(messages, caller_of(context), context.peer()) as upload:
                            return await method(await self._parsed(deserialize, upload), context)
            return None

        return answer

    def _answered_each(self, method: Handler, deserialize: Deserialize, name: str) -> RawHandler:
        async def answer(messages: AsyncIterable[bytes], context: grpc.aio.ServicerContext) -> None:  # noqa: ARG001
            stream, caller = RequestStream(context), caller_of(context)

            async def answer_one(arrived: "asyncio.Future[bool]") -> None:
                async with self._uploads.received_in_stream(stream.read, caller) as upload:
                    arrived.set_result(upload is not None)
                    if upload is None:
                        return
                    request: Message | None = None

                    async def refuse(status: status_pb2.Status) -> None:
                        if self._stream_error is not None:
                            await stream.write(self._stream_error(status, request))

                    with self._counted():
                        async with self._answer(name, context, refuse):
                            with self._let_in(name):
                                request = await self._parsed(deserialize, upload)
                                await method(request, stream)

            async with _Answer("stream", name, context, _aborting(context)):
                with self._uploads.stream(caller):
                    await answer_each(answer_one, self._stream_idle_seconds)

        return answer

    def _answer(self, name: str, context: grpc.aio.ServicerContext, refuse: Refuse) -> "_Answer":
        trace = self._traces.request(self._service, name, context.invocation_metadata() or ())
        return _Answer("request", name, context, refuse, self._metrics, trace)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """One request more that is being answered."""
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if self._running == 0:
                self._idle.set()

    def _let_in(self, name: str) -> AbstractContextManager[None]:
        """The time in which one request is answered, if it may be."""
        if self._refuses:
            raise StoppingError("the server is stopping")
        is_probe = role_of(self._prefix + name) is None
        return nullcontext() if is_probe else self._shedding.request()

    async def _parsed(self, deserialize: Deserialize, upload: Upload) -> Message:
        """The request, without the bytes of its image, which stay with the upload."""
        if len(upload.content) > _LARGE_BYTES:
            # Each copy of the bytes holds Python's lock; between two of them others have their turn.
            request = await asyncio.to_thread(self._parsed_at_once, deserialize, upload)
            self._uploads.give_back_memory()
        else:
            request = self._parsed_at_once(deserialize, upload)
        current_trace().received()
        return request

    def _parsed_at_once(self, deserialize: Deserialize, upload: Upload) -> Message:
        try:
            request, upload.image_bytes = self._detach(deserialize(upload.take()))
            return request
        except DecodeError as error:
            raise InvalidRequestError("", f"expected a message of {self._service}, got other bytes") from error


def _aborting(context: grpc.aio.ServicerContext) -> Refuse:
    """Ends a call with a status."""

    async def abort(status: status_pb2.Status) -> None:
        answer = to_wire(status)
        await context.abort(answer.code, answer.details, answer.trailing_metadata)

    return abort


class _Answer:
    """The time in which one request is answered.

    Args:
        event: name of its log line.
        method: the method called.
        context: of the call.
        refuse: answers with the status of an error.
        metrics: counts it, if it counts.
        trace: is told of it.
    """

    def __init__(
        self,
        event: str,
        method: str,
        context: grpc.aio.ServicerContext,
        refuse: Refuse,
        metrics: Metrics | None = None,
        trace: RequestTrace = UNTRACED,
    ) -> None:
        self._metrics = metrics
        self._trace = trace
        self._event = event
        self._method = method
        self._context = context
        self._refuse = refuse

    async def __aenter__(self) -> Self:
        structlog.contextvars.clear_contextvars()
        if identity := current_identity():
            structlog.contextvars.bind_contextvars(identity=identity)
        enter_trace(self._trace)
        self._began = time.perf_counter()
        if self._metrics is not None:
            self._metrics.began()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        match error:
            case None:
                self._log_answer("OK")
            case asyncio.CancelledError():  # the caller has gone, or its deadline passed
                self._log_answer("CANCELLED")
            case MedxganError():
                if self._metrics is not None:
                    self._metrics.refused(type(error).__name__)
                _let_go(error)
                return await self._refused(known_status(error))
            case Exception() if self._context.cancelled() or self._context.done():
                # Who writes to a stream that its reader has left is told so by an error, before the cancellation comes.
                self._log_answer("CANCELLED")
            case Exception():
                identifier = log_internal_error(error)
                _let_go(error)
                return await self._refused(internal_status(identifier))
        return False

    async def _refused(self, status: status_pb2.Status) -> bool:
        self._log_answer(to_wire(status).code.name)
        await self._refuse(status)
        return True

    def _log_answer(self, code: str) -> None:
        seconds = time.perf_counter() - self._began
        if self._metrics is not None:
            self._metrics.ended(self._method, code, seconds)
        self._trace.ended(code)
        _log.info(self._event, method=self._method, code=code, duration_ms=round(1000 * seconds, 1))


def _let_go(error: BaseException | None) -> None:
    """Let go of all that the frames of an error name: they may live until a collection, and name the image."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def log_internal_error(error: Exception) -> str:
    """Log an error that nobody foresaw, and give its id. Its text is left out: a library's may quote the image."""
    identifier = secrets.token_hex(8)
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    _log.error("internal_error", id=identifier, error=type(error).__qualname__, frames=frames)
    return identifier
