"""How long answers may take, and callers who do not read them or leave: by a service that answers as it is asked to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue, StringValue
from google.rpc import status_pb2

from medxgan.server.identity.limits import CallerLimits
from medxgan.server.shedding import Shedding
from medxgan.server.telemetry.metrics import Metrics
from medxgan.server.telemetry.tracing import Traces
from medxgan.server.wire.access import Access, AccessInterceptor
from medxgan.server.wire.interceptor import AnswerLimits, RequestInterceptor, Streams
from medxgan.server.wire.refusals import RefusalLog
from medxgan.server.wire.streams import AnswerStream
from medxgan.server.wire.uploads import UploadLimits, Uploads

SERVICE = "test.Service"
SLOW_READER = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1024), ("grpc.use_local_subchannel_pool", 1))
LARGE = BytesValue(value=bytes(2**21))
"""More than is on its way to who does not read."""


class Service:
    """Answers by what it is asked: "quick", "never" or "much".

    Attributes:
        begun: answers that were begun.
        left: those that were ended before they were there.
    """

    def __init__(self) -> None:
        self.begun = self.left = 0

    async def answer(self, request: StringValue, context: AnswerStream | None) -> BytesValue:
        self.begun += 1
        try:
            if request.value == "never":
                await asyncio.Event().wait()
            while request.value == "much":
                await context.write(LARGE)
        except BaseException:
            self.left += 1
            raise
        return BytesValue(value=b"answered")

    async def answer_in_stream(self, request: StringValue, context: AnswerStream) -> None:
        await context.write(await self.answer(request, context))


def error_of(status: status_pb2.Status, request: StringValue | None) -> BytesValue:
    return BytesValue(value=status.message.encode())


class Running:
    """A server of that service."""

    def __init__(self, limits: AnswerLimits, streams_per_caller: int) -> None:
        self.service, self.metrics = Service(), Metrics()
        access = Access(None, CallerLimits(8, 0, 1), self.metrics, RefusalLog())
        uploads = Uploads(UploadLimits(8, 8, 2**26, 2**26, 3600, maximum_streams_per_caller=streams_per_caller))
        streams = Streams(access, error_of, 3600)
        interceptor = RequestInterceptor(
            SERVICE, uploads, self.metrics, Shedding(), Traces(), RefusalLog(), limits=limits, streams=streams
        )
        self.grpc = grpc.aio.server(interceptors=[AccessInterceptor(access), interceptor])
        codec = {"request_deserializer": StringValue.FromString, "response_serializer": BytesValue.SerializeToString}
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.service.answer, **codec),
            "Streaming": grpc.unary_stream_rpc_method_handler(self.service.answer_in_stream, **codec),
            "Stream": grpc.stream_stream_rpc_method_handler(self.service.answer_in_stream, **codec),
        }
        self.grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.port = self.grpc.add_insecure_port("127.0.0.1:0")

    def channel(self, *options: tuple[str, int]) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options)

    def counted(self) -> dict[str, float]:
        """Requests that ended, by code."""
        (family,) = (each for each in self.metrics.registry.collect() if each.name == "medxgan_requests")
        counted: dict[str, float] = {}
        for sample in family.samples:
            if sample.name == "medxgan_requests_total":
                code = sample.labels["code"]
                counted[code] = counted.get(code, 0) + sample.value
        return counted

    async def ended(self, count: int) -> None:
        while sum(self.counted().values()) < count:
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(
    seconds: float = 3600.0, unread_seconds: float = 3600.0, streams_per_caller: int = 8
) -> AsyncIterator[Running]:
    server = Running(AnswerLimits(seconds, unread_seconds), streams_per_caller)
    await server.grpc.start()
    try:
        async with asyncio.timeout(60):
            yield server
    finally:
        await server.grpc.stop(None)


def asked(value: str) -> bytes:
    return StringValue(value=value).SerializeToString()


TOO_LONG = "the answer took longer than 0.2 seconds, which is the most here"


def test_an_answer_that_takes_too_long_is_counted_as_what_its_caller_hears() -> None:
    async def scenario() -> None:
        async with running(seconds=0.2) as server, server.channel() as channel:
            call = channel.unary_unary(f"/{SERVICE}/Unary")(asked("never"))
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert await call.details() == TOO_LONG
            assert server.counted() == {"DEADLINE_EXCEEDED": 1}
            assert server.service.left == 1

    asyncio.run(scenario())


def test_every_request_of_a_stream_has_its_own_time() -> None:
    async def scenario() -> None:
        async with running(seconds=0.2) as server, server.channel() as channel:
            call = channel.stream_stream(f"/{SERVICE}/Stream", response_deserializer=BytesValue.FromString)()
            for value, said in (("never", TOO_LONG), ("never", TOO_LONG), ("quick", "answered")):
                await call.write(asked(value))
                assert (await call.read()).value.decode() == said
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK
            assert server.counted() == {"DEADLINE_EXCEEDED": 2, "OK": 1}

    asyncio.run(scenario())


def test_a_stream_for_which_there_is_no_place_counts_as_a_request_that_was_refused() -> None:
    async def scenario() -> None:
        async with running(streams_per_caller=1) as server, server.channel() as channel:
            streams = channel.stream_stream(f"/{SERVICE}/Stream", response_deserializer=BytesValue.FromString)
            held = streams()
            await held.write(asked("quick"))
            assert (await held.read()).value == b"answered"
            assert await streams().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            await server.ended(2)
            assert server.counted() == {"OK": 1, "RESOURCE_EXHAUSTED": 1}
            assert server.metrics.registry.get_sample_value("medxgan_refused_total", {"reason": "BusyError"}) == 1
            await held.done_writing()
            assert await held.code() is grpc.StatusCode.OK

    asyncio.run(scenario())


def begun(channel: grpc.aio.Channel, method: str) -> grpc.aio.Call:
    """A call whose answer nobody reads: of one request, or of a stream of several that is not ended."""
    if method == "Streaming":
        return channel.unary_stream(f"/{SERVICE}/{method}")(asked("much"))

    async def requests() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield asked("much")
        await asyncio.Event().wait()

    return channel.stream_stream(f"/{SERVICE}/{method}")(requests())


COUNT = {"Streaming": 1, "Stream": 3}


@pytest.mark.parametrize("method", COUNT)
def test_who_does_not_read_is_waited_for_no_longer_than_is_said(method: str) -> None:
    async def scenario() -> None:
        async with running(unread_seconds=0.1) as server, server.channel(*SLOW_READER) as channel:
            call = begun(channel, method)
            await server.ended(COUNT[method])
            assert server.service.left == COUNT[method]
            # Of several that wait to write, the first one's time ends those of the others.
            counted = server.counted()
            assert counted.pop("DEADLINE_EXCEEDED") >= 1
            assert counted.keys() <= {"CANCELLED"}
            # Who reads on finds what was on its way, and the reason.
            with suppress(grpc.aio.AioRpcError):
                while await call.read() is not grpc.aio.EOF:
                    pass
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert "took no message" in await call.details()

    asyncio.run(scenario())


@pytest.mark.parametrize("method", COUNT)
def test_who_leaves_while_an_answer_is_written_is_no_error(method: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with running() as server:
            for number in range(1, 6):
                async with server.channel(*SLOW_READER) as channel:
                    call = begun(channel, method)
                    await call.read()
                    while server.service.begun < number * COUNT[method]:
                        await asyncio.sleep(0.001)
                    call.cancel()
                await server.ended(number * COUNT[method])
            assert server.counted() == {"CANCELLED": 5 * COUNT[method]}

    asyncio.run(scenario())
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_message_that_is_on_its_way_when_its_request_ends_does_not_end_the_stream() -> None:
    """The time of one request ends while its message waits to be read: the next one has to wait for that too."""

    async def scenario() -> None:
        async with running(seconds=0.2) as server, server.channel(*SLOW_READER) as channel:
            call = channel.stream_stream(f"/{SERVICE}/Stream", response_deserializer=BytesValue.FromString)()
            await call.write(asked("much"))
            await server.ended(1)
            await call.write(asked("quick"))
            await call.done_writing()
            said = []
            while (response := await call.read()) is not grpc.aio.EOF:
                said.append(response.value)
            assert [each.decode() for each in said if len(each) < 2**21] == [TOO_LONG, "answered"]
            assert server.counted() == {"DEADLINE_EXCEEDED": 1, "OK": 1}

    asyncio.run(scenario())
