"""A stream of many requests, each answered as if it had come alone."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import grpc
from google.protobuf.message import Message

from medxgan.server.errors import SlowUploadError

MAXIMUM_AT_ONCE = 8
"""Requests of one stream that are answered at once; a further one is read when one of them is."""


class RequestStream:
    """The context of every request of one stream: what they write goes out one after the other.

    Args:
        context: of the stream.
    """

    def __init__(self, context: grpc.aio.ServicerContext) -> None:
        self._context = context
        self._writing = asyncio.Lock()

    def peer(self) -> str:
        """Who asks, as gRPC has it."""
        peer: str = self._context.peer()
        return peer

    async def read(self) -> bytes | None:
        """The next message as it was sent; None where there are no more."""
        message: bytes = await self._context.read()
        return None if message is grpc.aio.EOF else message

    async def write(self, message: Message) -> None:
        """Send one response."""
        async with self._writing:
            await self._context.write(message)


async def answer_each(answer: Callable[["asyncio.Future[bool]"], Awaitable[None]], idle_seconds: float) -> None:
    """Answer requests, several at once, until there are no more.

    Args:
        answer: reads the next request, tells the future at once whether there is one, and answers it.
        idle_seconds: after which a stream is given up that sends nothing while none of its requests is being answered.

    Raises:
        SlowUploadError: it was given up.
    """
    places = asyncio.Semaphore(MAXIMUM_AT_ONCE)
    answering: set[asyncio.Task[None]] = set()

    async def answer_one(arrived: "asyncio.Future[bool]") -> None:
        try:
            await answer(arrived)
        finally:
            places.release()

    more, silent = True, False
    async with asyncio.TaskGroup() as group:
        while more and not silent:
            await places.acquire()
            arrived: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            reading = group.create_task(answer_one(arrived))
            if await _comes(arrived, answering, idle_seconds):
                more = arrived.result()
                answering.add(reading)
                reading.add_done_callback(answering.discard)
            else:
                silent = reading.cancel()
    if silent:
        raise SlowUploadError(f"the stream sent no request for {idle_seconds:g} seconds")


async def _comes(
    arrived: "asyncio.Future[bool]", answering: Collection[asyncio.Task[None]], idle_seconds: float
) -> bool:
    """Whether a request, or the end of the stream, comes before the time in which none is answered gets too long."""
    while not arrived.done():
        if answering:
            awaited: set[asyncio.Future[Any]] = {arrived, *answering}
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        elif not (await asyncio.wait([arrived], timeout=idle_seconds))[0]:
            return False
    return True
