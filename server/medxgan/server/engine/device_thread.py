"""The one thread that makes every call to a model's engine, in the order of arrival."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from medxgan.server.errors import BusyError

Result = TypeVar("Result")

RESTART_DELAY = 5.0
"""Seconds after which a caller that meets a server on its way down may try again."""


class DeviceThread:
    """A thread with a queue. Used from one event loop, between `start` and `stop`.

    Blocks of gradient steps and calls of stateless graphs queue alike, so that either waits for one of the other at
    most, and an engine never sees two calls at once.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Begin to take calls."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")

    async def stop(self) -> None:
        """Take no more calls, and wait for those that came in. May be called again."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.to_thread(thread.shutdown)

    async def call(self, function: Callable[[], Result]) -> Result:
        """Call a function on the thread. Cancelling the awaiting task takes it out of the queue.

        Raises:
            BusyError: the thread is not running.
        """
        return await self.submit(function)

    def submit(self, function: Callable[[], Result]) -> "asyncio.Future[Result]":
        """Queue a function for the thread without waiting for it.

        Raises:
            BusyError: the thread is not running.
        """
        if self._thread is None:
            raise not_served()
        return asyncio.wrap_future(self._thread.submit(function))


def not_served() -> BusyError:
    """What a caller hears of a model that is not running."""
    return BusyError("the model is not being served", RESTART_DELAY)
