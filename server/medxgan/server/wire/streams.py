"""A stream of many requests, each answered as if it had come alone."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2

from medxgan.server.errors import SlowUploadError, UnreadError
from medxgan.server.wire.status import end

MAXIMUM_AT_ONCE = 8
"""Requests of one stream that are answered at once; a further one is read when one of them is."""


class AnswerStream:
    """The context of requests that are answered by several messages: they go out one after the other, each in time.

    Args:
        context: of the call.
        seconds: that a message may take to be taken by the caller.
    """

    def __init__(self, context: grpc.aio.ServicerContext, seconds: float) -> None:
        self._context = context
        self._seconds = seconds
        self._writing = asyncio.Lock()
        self._sending: asyncio.Future[None] | None = None

    def peer(self) -> str:
        """Who asks, as gRPC has it."""
        peer: str = self._context.peer()
        return peer

    async def write(self, message: Message) -> None:
        """Send one response.

        Raises:
            UnreadError: the caller did not take it in time, or one before.
            asyncio.CancelledError: the caller has left.
        """
        async with self._writing:
            # gRPC has one message on its way, also where who wrote it was cancelled.
            await self._sent()
            self._sending = asyncio.ensure_future(self._context.write(message))
            self._sending.add_done_callback(lambda sent: sent.cancelled() or sent.exception())
            await self._sent()

    async def end(self, status: status_pb2.Status) -> None:
        """End the call with a status other than OK, which comes behind what is still on its way.

        Raises:
            asyncio.CancelledError: something is on its way. Nothing else waits for the caller to take it.
        """
        if self._sending is None or self._sending.done():
            await end(self._context, status)
        else:
            self._ending = asyncio.create_task(self._end_later(self._sending, status))
            raise asyncio.CancelledError

    async def _end_later(self, sending: "asyncio.Future[None]", status: status_pb2.Status) -> None:
        await asyncio.wait([sending])
        with suppress(grpc.aio.BaseError):  # the end of the call, or that it has gone
            await end(self._context, status)

    async def _sent(self) -> None:
        if self._sending is None:
            return
        if not (await asyncio.wait([self._sending], timeout=self._seconds))[0]:
            self._seconds = 0.0  # those that wait behind it do not wait as long again
            raise UnreadError("the caller took no message of the answer for too long")
        try:
            self._sending.result()
        except grpc.aio.InternalError:
            # What can't be sent has nobody to go to; gRPC's own cancellation comes a moment later.
            raise asyncio.CancelledError from None


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
