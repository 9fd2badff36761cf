"""Bounds what requests hold before they are read: how many are received at once, how long one may take, how many bytes.

gRPC hands a message over when all of it has come. A call is therefore received as a stream of one message, which is the
same on the wire: until the server reads, flow control keeps the caller's bytes with the caller.

How large a message is nobody knows before. So the messages of a caller are begun one after the other, but for slow
ones, and a connection whose last message was small is taken to send a small one again: it does not wait behind large
ones.

A stream of many requests may be idle for as long as its caller likes, and nobody knows when its next message comes. So
streams are bounded in number: a message of theirs is received beside those of single calls.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from medxgan.server.errors import BusyError, InvalidRequestError, SlowUploadError
from medxgan.server.memory import give_back_free_memory

_LARGE_BYTES = 4 * 2**20
"""After a message of more, free memory is given back."""
_SMALL_BYTES = 2**20
_REMEMBERED = 1024
"""Connections whose last message was small."""
_NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True)
class UploadLimits:
    """How much may be received at once.

    Attributes:
        maximum_receiving: messages that are received at once, >= 1.
        maximum_receiving_per_caller: the same of one caller, >= 1.
        maximum_bytes: bytes of received requests whose image is still to be read; a further message waits.
        maximum_bytes_per_caller: the same of one caller.
        timeout_seconds: that one message may take to arrive once it is its turn.
        slow_seconds: a message that takes longer does not keep its caller's next one waiting.
        maximum_streams: streams of many requests that may be open at once, each with one message that arrives.
        maximum_streams_per_caller: the same of one caller.
        retry_delay_seconds: after which a caller whose stream was refused is asked to try again.
    """

    maximum_receiving: int
    maximum_receiving_per_caller: int
    maximum_bytes: int
    maximum_bytes_per_caller: int
    timeout_seconds: float
    slow_seconds: float = 1.0
    maximum_streams: int = 16
    maximum_streams_per_caller: int = 8
    retry_delay_seconds: float = 2.0


class Uploads:
    """Receives requests within the limits. Used from one event loop."""

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._receiving = {False: Counter[str](), True: Counter[str]()}
        self._arriving: Counter[str] = Counter()
        self._small: OrderedDict[str, None] = OrderedDict()
        self._bytes: Counter[str] = Counter()
        self._fetching: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._giving_back: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def received(
        self, messages: AsyncIterable[bytes], caller: str, connection: str = ""
    ) -> AsyncIterator["Upload"]:
        """One request as it came, which counts against the limits until it is released or answered.

        Args:
            messages: of the call.
            caller: names the caller.
            connection: names the caller's connection, where it is known.

        Raises:
            SlowUploadError: the message took too long to arrive.
            InvalidRequestError: the call ended without a message.
        """
        while not self._has_room(caller, connection in self._small):
            await self._told()
        with self._place(caller, connection in self._small):
            # Known again once it has come: one at a time of a connection is taken to be small.
            self._small.pop(connection, None)
            content = await first_message(messages, self._limits.timeout_seconds)
            self._remember(connection, len(content))
            upload = self._holding(caller, content)
            del content
        with self._answering(upload):
            yield upload

    @contextmanager
    def stream(self, caller: str) -> Iterator[None]:
        """Hold the place of one stream of many requests.

        Raises:
            BusyError: as many are open as may be.
        """
        limits = self._limits
        if (
            self._streams.total() >= limits.maximum_streams
            or self._streams[caller] >= limits.maximum_streams_per_caller
        ):
            raise BusyError("as many streams are open as may be", limits.retry_delay_seconds)
        self._streams[caller] += 1
        try:
            yield
        finally:
            self._streams[caller] -= 1
            self._tell()

    @asynccontextmanager
    async def received_in_stream(
        self, message: Callable[[], Awaitable[bytes | None]], caller: str
    ) -> AsyncIterator["Upload | None"]:
        """The next request of a stream, which counts against the limits in bytes as others do.

        Args:
            message: reads the next message of the stream; None where there are no more.
            caller: names the caller.

        Yields:
            The request; None where the stream has ended.
        """
        while not self._has_bytes(caller):
            await self._told()
        content = await message()
        if content is None:
            yield None
            return
        upload = self._holding(caller, content)
        del content
        with self._answering(upload):
            yield upload

    async def hold(self, size: int) -> None:
        """Count further bytes of the current request, which it is about to fetch from elsewhere, once there is room.

        It waits for the bytes of others that go on: neither for its own, nor for those of who waits like it.
        """
        upload = _current.get(None)
        if upload is None:
            return
        self._fetching[upload.caller] += upload.held
        self._tell()
        try:
            while not self._has_bytes(upload.caller, self._fetching):
                await self._told()
        finally:
            self._fetching[upload.caller] -= upload.held
        upload.held += size
        self._bytes[upload.caller] += size

    def release(self) -> None:
        """Give back what the current request holds: its image has been read and dropped. May be called again."""
        upload = _current.get(None)
        if upload is not None:
            self._release(upload)

    def image_bytes(self) -> bytes:
        """The bytes of the current request's image, which are kept here no longer."""
        upload = _current.get(None)
        if upload is None:
            return b""
        content, upload.image_bytes = upload.image_bytes, b""
        return content

    def _holding(self, caller: str, content: bytes) -> "Upload":
        self._bytes[caller] += len(content)
        return Upload(caller, content, held=len(content))

    @contextmanager
    def _answering(self, upload: "Upload") -> Iterator[None]:
        token = _current.set(upload)
        try:
            yield
        finally:
            _current.reset(token)
            self._release(upload)
            upload.content = upload.image_bytes = b""

    async def _told(self) -> None:
        """Wait until something may have changed."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _release(self, upload: "Upload") -> None:
        if upload.held:
            self._bytes[upload.caller] -= upload.held
            if upload.held > _LARGE_BYTES:
                self.give_back_memory()
            upload.held = 0
            self._tell()

    def give_back_memory(self) -> None:
        """Give memory back that nothing uses; once where several large requests ask for it together."""
        if self._giving_back is None or self._giving_back.done():
            self._giving_back = asyncio.get_running_loop().run_in_executor(None, give_back_free_memory)

    def _has_room(self, caller: str, small: bool) -> bool:
        limits, receiving = self._limits, self._receiving[small]
        if receiving.total() >= limits.maximum_receiving or receiving[caller] >= limits.maximum_receiving_per_caller:
            return False
        return small or (not self._arriving[caller] and self._has_bytes(caller))

    def _has_bytes(self, caller: str, apart: Mapping[str, int] = _NOTHING) -> bool:
        """Whether there is room in bytes, those of every caller counted but for some that are left apart."""
        most = self._limits.maximum_bytes_per_caller
        # One message may bring a caller over its share. What is beyond it takes nothing from the others.
        counted = sum(min(held - apart.get(name, 0), most) for name, held in self._bytes.items())
        return counted < self._limits.maximum_bytes and self._bytes[caller] - apart.get(caller, 0) < most

    @contextmanager
    def _place(self, caller: str, small: bool) -> Iterator[None]:
        """A place among the messages that are received at once."""
        arriving = [] if small else [caller]

        def arrived() -> None:
            if arriving:
                self._arriving[arriving.pop()] -= 1
                self._tell()

        self._receiving[small][caller] += 1
        self._arriving.update(arriving)
        slow = asyncio.get_running_loop().call_later(self._limits.slow_seconds, arrived)
        try:
            yield
        finally:
            slow.cancel()
            self._receiving[small][caller] -= 1
            arrived()
            self._tell()

    def _remember(self, connection: str, size: int) -> None:
        if connection and size <= _SMALL_BYTES:
            self._small[connection] = None
            if len(self._small) > _REMEMBERED:
                self._small.popitem(last=False)

    def _tell(self) -> None:
        """Let those who wait look again."""
        # What is at 0 is forgotten, or the counters would grow with every caller there ever was.
        for counter in (*self._receiving.values(), self._arriving, self._bytes, self._fetching, self._streams):
            for name in [name for name, count in counter.items() if not count]:
                del counter[name]
        waiting, self._waiting = self._waiting, deque()
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)


async def first_message(messages: AsyncIterable[bytes], seconds: float) -> bytes:
    """The message of a call.

    Args:
        messages: of the call.
        seconds: that it may take to arrive.

    Raises:
        SlowUploadError: it took longer.
        InvalidRequestError: the call ended without a message.
    """
    stream = aiter(messages)
    try:
        async with asyncio.timeout(seconds):
            return await anext(stream)
    except TimeoutError as error:
        raise SlowUploadError(f"the request did not arrive within {seconds:g} seconds") from error
    except StopAsyncIteration as error:
        raise InvalidRequestError("", "expected one message, got none") from error
    finally:
        if isinstance(stream, AsyncGenerator):
            # gRPC's generator keeps the message it gave last, and itself in a circle that only a collection ends.
            await stream.aclose()


@dataclass(eq=False)
class Upload:
    """One request as it came.

    Attributes:
        caller: names the caller.
        content: the message; empty once it is taken.
        image_bytes: the bytes of its image, which are held apart; empty once they are taken.
        held: bytes that count against the limits.
    """

    caller: str
    content: bytes = b""
    image_bytes: bytes = b""
    held: int = 0

    def take(self) -> bytes:
        """The message, which is kept here no longer."""
        content, self.content = self.content, b""
        return content


_current: ContextVar[Upload | None] = ContextVar("upload", default=None)
