"""The one thread that makes every call to a model's engine: urgent ones first, else in the order of arrival."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from medxgan.server.engine.precedence import Precedence
from medxgan.server.errors import BusyError

Result = TypeVar("Result")

RESTART_DELAY = 5.0
"""Seconds after which a caller that meets a server on its way down may try again."""


class DeviceThread:
    """A thread with two queues. Used from one event loop, between `start` and `stop`.

    Blocks of gradient steps and calls of stateless graphs queue alike, so that either waits for one of the other at
    most, and an engine never sees two calls at once.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._urgent: deque[_Call] = deque()
        self._others: deque[_Call] = deque()
        self._precedence = Precedence()

    def start(self) -> None:
        """Begin to take calls."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")

    async def stop(self) -> None:
        """Take no more calls, and wait for those that came in. May be called again."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.to_thread(thread.shutdown)

    async def call(self, function: Callable[[], Result], *, urgent: bool = False) -> Result:
        """Call a function on the thread. Cancelling the awaiting task takes it out of the queue.

        Raises:
            BusyError: the thread is not running.
        """
        return await self.submit(function, urgent=urgent)

    def submit(self, function: Callable[[], Result], *, urgent: bool = False) -> "asyncio.Future[Result]":
        """Queue a function for the thread without waiting for it.

        Args:
            function: to be called.
            urgent: whether it goes before those that are not.

        Raises:
            BusyError: the thread is not running.
        """
        if self._thread is None:
            raise not_served()
        result: Future[Result] = Future()
        (self._urgent if urgent else self._others).append((function, result))
        self._thread.submit(self._call_next)
        return asyncio.wrap_future(result)

    def _call_next(self) -> None:
        urgent_is_next = self._precedence.is_urgent_next(bool(self._urgent), bool(self._others))
        function, result = (self._urgent if urgent_is_next else self._others).popleft()
        if not result.set_running_or_notify_cancel():
            return
        try:
            result.set_result(function())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is for who waits for the result
            result.set_exception(error)
        finally:
            # The traceback of an error holds this frame: without its result there is no cycle.
            del function, result


_Call = tuple[Callable[[], Any], Future[Any]]
"""A call and what its caller waits for."""


def not_served() -> BusyError:
    """What a caller hears of a model that is not running."""
    return BusyError("the model is not being served", RESTART_DELAY)
