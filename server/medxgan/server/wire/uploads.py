"""Bounds what requests hold before they are read: how many are received at once, how long one may take, how many bytes.

gRPC hands a message over when all of it has come. A call is therefore received as a stream of one message, which is the
same on the wire: until the server reads, flow control keeps the caller's bytes with the caller.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from medxgan.server.errors import InvalidRequestError, SlowUploadError


@dataclass(frozen=True)
class UploadLimits:
    """How much may be received at once.

    Attributes:
        maximum_receiving: messages that are received at once, >= 1.
        maximum_receiving_per_connection: the same of one connection, >= 1.
        maximum_bytes: bytes of received requests whose image is still to be read; a further message waits.
        maximum_bytes_per_connection: the same of one connection.
        timeout_seconds: that one message may take to arrive once it is its turn.
    """

    maximum_receiving: int
    maximum_receiving_per_connection: int
    maximum_bytes: int
    maximum_bytes_per_connection: int
    timeout_seconds: float


class Uploads:
    """Receives requests within the limits. Used from one event loop."""

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._receiving: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def received(self, messages: AsyncIterator[bytes], connection: str) -> AsyncIterator["Upload"]:
        """One request as it came, which counts against the limits until it is released or answered.

        Args:
            messages: of the call.
            connection: names the caller's connection.

        Raises:
            SlowUploadError: the message took too long to arrive.
            InvalidRequestError: the call ended without a message.
        """
        while not self._has_room(connection):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self._receiving[connection] += 1
        upload = Upload(connection)
        try:
            upload.content = await self._message(messages)
            upload.held = len(upload.content)
            self._bytes[connection] += upload.held
        finally:
            self._receiving[connection] -= 1
            self._tell()
        token = _current.set(upload)
        try:
            yield upload
        finally:
            _current.reset(token)
            self._release(upload)

    def release(self) -> None:
        """Give back what the current request holds: its image has been read and dropped. May be called again."""
        upload = _current.get(None)
        if upload is not None:
            self._release(upload)

    async def _message(self, messages: AsyncIterator[bytes]) -> bytes:
        try:
            async with asyncio.timeout(self._limits.timeout_seconds):
                return await anext(messages)
        except TimeoutError as error:
            raise SlowUploadError(
                f"the request did not arrive within {self._limits.timeout_seconds:g} seconds"
            ) from error
        except StopAsyncIteration as error:
            raise InvalidRequestError("", "expected one message, got none") from error

    def _release(self, upload: "Upload") -> None:
        if upload.held:
            self._bytes[upload.connection] -= upload.held
            upload.held = 0
            self._tell()

    def _has_room(self, connection: str) -> bool:
        limits = self._limits
        return (
            self._receiving.total() < limits.maximum_receiving
            and self._receiving[connection] < limits.maximum_receiving_per_connection
            and self._bytes.total() < limits.maximum_bytes
            and self._bytes[connection] < limits.maximum_bytes_per_connection
        )

    def _tell(self) -> None:
        """Let those who wait look again."""
        # What is at 0 is forgotten, or the counters would grow with every connection there ever was.
        self._receiving, self._bytes = +self._receiving, +self._bytes
        waiting, self._waiting = self._waiting, deque()
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)


@dataclass(eq=False)
class Upload:
    """One request as it came.

    Attributes:
        connection: names the caller's connection.
        content: the message; empty once it is taken.
        held: bytes that count against the limits.
    """

    connection: str
    content: bytes = b""
    held: int = 0

    def take(self) -> bytes:
        """The message, which is kept here no longer."""
        content, self.content = self.content, b""
        return content


_current: ContextVar[Upload | None] = ContextVar("upload", default=None)
