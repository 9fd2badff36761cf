"""Around every request: it is received within bounds, has a log line, and a status for whatever goes wrong."""

import asyncio
import secrets
import time
import traceback
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from google.rpc.code_pb2 import Code

from medxgan.server.errors import BusyError, InvalidRequestError, MedxganError, StoppingError
from medxgan.server.identity.roles import role_of
from medxgan.server.log import get_logger
from medxgan.server.shedding import Shedding
from medxgan.server.telemetry.metrics import Metrics
from medxgan.server.telemetry.tracing import UNTRACED, RequestTrace, Traces, current_trace, enter_trace
from medxgan.server.wire.access import Access
from medxgan.server.wire.callers import caller_of, counted_as, current_identity
from medxgan.server.wire.ceiling import at_most
from medxgan.server.wire.detaching import detached
from medxgan.server.wire.refusals import RefusalLog
from medxgan.server.wire.status import end, internal_status, known_status
from medxgan.server.wire.streams import AnswerStream, answer_each
from medxgan.server.wire.uploads import Upload, Uploads

_log = get_logger(__name__)

Handler = Callable[[Message, grpc.aio.ServicerContext | AnswerStream], Awaitable[Message | None]]
RawHandler = Callable[[AsyncIterable[bytes], grpc.aio.ServicerContext], Awaitable[Message | None]]
Deserialize = Callable[[bytes], Message]
Detach = Callable[[Message], tuple[Message, bytes]]
Refuse = Callable[[status_pb2.Status], Awaitable[None]]
CheckRoom = Callable[[str, str], None]
StreamError = Callable[[status_pb2.Status, Message | None], Message]

_LARGE_BYTES = 2**20
"""Messages above this size are parsed off the event loop."""


@dataclass(frozen=True)
class AnswerLimits:
    """How long answers may take.

    Attributes:
        seconds: that one may take in all, whatever deadline its caller sets.
        unread_seconds: after which one of several messages is given up that the caller does not take.
    """

    seconds: float = 900.0
    unread_seconds: float = 60.0


@dataclass(frozen=True)
class Streams:
    """How a service answers streams of requests.

    Attributes:
        access: says before each request who sends it, and whether it may.
        error: what is answered to a request that fails, of the status and of the request, where it could be read: the
            others go on.
        idle_seconds: after which a stream is ended that sends nothing and waits for nothing.
    """

    access: Access
    error: StreamError
    idle_seconds: float


class RequestInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the methods of one service. They are coroutines; one that streams writes to its context.

    A method that takes a stream of requests is called for each of them, with a context that they share. Those that are
    open to all are left alone: they are probes.

    Args:
        service: full name of the service; other services' methods are left alone.
        uploads: receives the requests.
        metrics: counts the requests.
        shedding: refuses requests while memory is short.
        traces: are told of the requests.
        refusals: has the log lines of those for which there is no room.
        limits: of the answers.
        detach: takes the bytes of its image out of a request.
        streams: of requests; None: the service takes none.
        check_room: called with the method and who calls before a message is received; raises where there is no
            room for a request, whatever its message says.
    """

    def __init__(
        self,
        service: str,
        uploads: Uploads,
        metrics: Metrics,
        shedding: Shedding,
        traces: Traces,
        refusals: RefusalLog,
        limits: AnswerLimits = AnswerLimits(),
        detach: Detach = detached,
        streams: Streams | None = None,
        check_room: CheckRoom = lambda method, caller: None,  # noqa: ARG005
    ) -> None:
        self._metrics = metrics
        self._service = service
        self._prefix = f"/{service}/"
        self._uploads = uploads
        self._detach = detach
        self._shedding = shedding
        self._traces = traces
        self._refusals = refusals
        self._limits = limits
        self._streams = streams
        self._check_room = check_room
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
        if handler is None or not path.startswith(self._prefix) or role_of(path) is None:
            return handler
        name = path.removeprefix(self._prefix)
        if handler.request_streaming:
            if self._streams is None:
                raise TypeError(f"{path} takes a stream, and nothing says how its requests are answered")
            return grpc.stream_stream_rpc_method_handler(
                self._answered_each(handler.stream_stream, handler.request_deserializer, name, self._streams),
                request_deserializer=None,
                response_serializer=handler.response_serializer,
            )
        # A call with one message is on the wire what a stream of one message is; only a stream can be read when and as
        # long as the server chooses. Without a deserializer the message comes as it was sent.
        streams = handler.response_streaming
        wrap = grpc.stream_stream_rpc_method_handler if streams else grpc.stream_unary_rpc_method_handler
        method = handler.unary_stream if streams else handler.unary_unary
        return wrap(
            self._answered(method, handler.request_deserializer, name, streams=streams),
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    def _answered(self, method: Handler, deserialize: Deserialize, name: str, *, streams: bool) -> RawHandler:
        async def answer(messages: AsyncIterable[bytes], context: grpc.aio.ServicerContext) -> Message | None:
            written = AnswerStream(context, self._limits.unread_seconds) if streams else context
            refuse = written.end if isinstance(written, AnswerStream) else partial(end, context)
            with self._counted():
                async with self._answer(name, context, refuse), at_most(self._limits.seconds):
                    with self._let_in():
                        caller = caller_of(context)
                        self._check_room(name, caller)
                        async with self._uploads.received(messages, counted_as(caller), context.peer()) as upload:
                            return await method(await self._parsed(deserialize, upload), written)
            return None

        return answer

    def _answered_each(self, method: Handler, deserialize: Deserialize, name: str, streams: Streams) -> RawHandler:
        path = self._prefix + name

        async def answer(messages: AsyncIterable[bytes], context: grpc.aio.ServicerContext) -> None:  # noqa: ARG001
            answers = AnswerStream(context, self._limits.unread_seconds)
            caller = counted_as(caller_of(context))
            unknown: list[MedxganError] = []

            async def read() -> bytes | None:
                message: bytes = await context.read()
                return None if message is grpc.aio.EOF else message

            async def is_known(admitted: ExitStack) -> bool:
                try:
                    await streams.access.known(path, context, admitted)
                except MedxganError as error:
                    streams.access.refused(path, context, error)
                    unknown.append(error)
                return not unknown

            async def answer_one(arrived: "asyncio.Future[bool]") -> None:
                async with self._uploads.received_in_stream(read, caller) as upload:
                    with ExitStack() as admitted:
                        # Of one who may send no request any more no further one is read.
                        goes_on = upload is not None and await is_known(admitted)
                        arrived.set_result(goes_on)
                        if upload is not None and goes_on:
                            await answer_request(upload)

            async def answer_request(upload: Upload) -> None:
                request: Message | None = None

                async def refuse(status: status_pb2.Status) -> None:
                    await answers.write(streams.error(status, request))

                with self._counted():
                    async with self._answer(name, context, refuse), at_most(self._limits.seconds):
                        with streams.access.request(context), self._let_in():
                            request = await self._parsed(deserialize, upload)
                            await method(request, answers)

            async with _Answer("stream", name, context, answers.end, self._refusals):
                with ExitStack() as opened:
                    try:
                        opened.enter_context(self._uploads.stream(caller))
                    except BusyError as error:
                        streams.access.refused(path, context, error)
                        raise
                    try:
                        await answer_each(answer_one, streams.idle_seconds)
                    except ExceptionGroup as several:
                        raise several.exceptions[0] from None
                if unknown:
                    raise unknown[0]

        return answer

    def _answer(self, name: str, context: grpc.aio.ServicerContext, refuse: Refuse) -> "_Answer":
        trace = self._traces.request(self._service, name, context.invocation_metadata() or ())
        return _Answer("request", name, context, refuse, self._refusals, self._metrics, trace)

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

    def _let_in(self) -> AbstractContextManager[None]:
        """The time in which one request is answered, if it may be."""
        if self._refuses:
            raise StoppingError("the server is stopping")
        return self._shedding.request()

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


class _Answer:
    """The time in which one request is answered.

    Args:
        event: name of its log line.
        method: the method called.
        context: of the call.
        refuse: answers with the status of an error.
        refusals: has its log line, where there is no room for it.
        metrics: counts it, if it counts.
        trace: is told of it.
    """

    def __init__(
        self,
        event: str,
        method: str,
        context: grpc.aio.ServicerContext,
        refuse: Refuse,
        refusals: RefusalLog,
        metrics: Metrics | None = None,
        trace: RequestTrace = UNTRACED,
    ) -> None:
        self._metrics = metrics
        self._trace = trace
        self._event = event
        self._method = method
        self._context = context
        self._refuse = refuse
        self._refusals = refusals

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
                self._ended("OK")
            case asyncio.CancelledError():  # the caller has gone, or its deadline passed
                self._ended("CANCELLED")
            case MedxganError():
                if self._metrics is not None:
                    self._metrics.refused(type(error).__name__)
                _let_go(error)
                return await self._refused(known_status(error), is_busy=isinstance(error, BusyError))
            case Exception() if self._context.cancelled() or self._context.done():
                # Who writes to a stream that its reader has left is told so by an error, before the cancellation comes.
                self._ended("CANCELLED")
            case Exception():
                identifier = log_internal_error(error)
                _let_go(error)
                return await self._refused(internal_status(identifier))
        return False

    async def _refused(self, status: status_pb2.Status, *, is_busy: bool = False) -> bool:
        self._ended(Code.Name(status.code), is_busy=is_busy)
        await self._refuse(status)
        return True

    def _ended(self, code: str, *, is_busy: bool = False) -> None:
        seconds = time.perf_counter() - self._began
        if self._metrics is not None:
            self._metrics.ended(self._method, code, seconds)
        self._trace.ended(code)
        write = partial(self._refusals.write, counted_as(caller_of(self._context))) if is_busy else _log.info
        write(self._event, method=self._method, code=code, duration_ms=round(1000 * seconds, 1))


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
