"""A stream of many requests, each answered as if it had come alone."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
from google.protobuf.message import Message

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


async def answer_each(answer: Callable[["asyncio.Future[bool]"], Awaitable[None]]) -> None:
    """Answer requests, several at once, until there are no more.

    Args:
        answer: reads the next request, tells the future at once whether there is one, and answers it.
    """
    places = asyncio.Semaphore(MAXIMUM_AT_ONCE)

    async def answer_one(arrived: "asyncio.Future[bool]") -> None:
        try:
            await answer(arrived)
        finally:
            places.release()

    async with asyncio.TaskGroup() as answering:
        more = True
        while more:
            await places.acquire()
            arrived: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            answering.create_task(answer_one(arrived))
            more = await arrived
