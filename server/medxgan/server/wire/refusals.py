"""Log lines of what is refused for want of room: a flood of refusals is no flood of lines."""

import asyncio
import time
from contextvars import Context

from medxgan.server.log import get_logger

WINDOW_SECONDS = 1.0
"""In which a caller has one line."""

LINES = 20
"""That all callers have together in that time."""

_log = get_logger(__name__)


class RefusalLog:
    """Writes the first refusal of each caller in a second, and counts the others in a line of their own.

    Figures count all of them. Used from one event loop.
    """

    def __init__(self) -> None:
        self._ends = 0.0
        self._callers: set[str] = set()
        self._left_out = 0
        self._telling: asyncio.TimerHandle | None = None

    def write(self, caller: str, event: str, /, **what: object) -> None:
        """Write the line of one refusal, or leave it out and have it counted.

        Args:
            caller: whose request it was.
            event: name of the line.
            what: it says.
        """
        now = time.monotonic()
        if now >= self._ends:
            self._ends = now + WINDOW_SECONDS
            self._callers.clear()
        if caller not in self._callers and len(self._callers) < LINES:
            self._callers.add(caller)
            _log.info(event, **what)
            return
        self._left_out += 1
        if self._telling is None:
            # In a context of its own: the line is not about the request in whose context it begins.
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(self._ends - now, self.tell, context=Context())

    def tell(self) -> None:
        """Say how many lines were left out since this was said last, if any were."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        if self._left_out:
            _log.info("refusals_left_out", count=self._left_out)
            self._left_out = 0
