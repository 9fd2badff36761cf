"""Places where few may be at a time: callers take turns, so that who asks for many waits behind himself alone."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Places:
    """So many places. Used from one event loop.

    Args:
        count: of places, >= 1.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncIterator[None]:
        """One place, once it is this caller's turn.

        Args:
            caller: names who asks.
        """
        if self._free:
            self._free -= 1
        else:
            await self._turn(caller)
        try:
            yield
        finally:
            self._pass_on()

    async def _turn(self, caller: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(caller, turn)
            else:  # it had come at that moment
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give a place that is free to the first of the next caller; who was cancelled wants none any more."""
        while self._waiting:
            caller, turns = next(iter(self._waiting.items()))
            self._waiting.move_to_end(caller)
            turn = turns[0]
            self._forget(caller, turn)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _forget(self, caller: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(caller, deque())
        if turn in turns:
            turns.remove(turn)
        if not turns:
            self._waiting.pop(caller, None)
