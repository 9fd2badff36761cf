"""How much one caller may ask for: requests at once, and requests a second."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from medxgan.server.errors import BusyError

_REMEMBERED = 1024
"""Callers whose rate is remembered before those are forgotten of whom nothing needs to be."""


class CallerLimits:
    """Counts the requests of every caller. Used from one event loop.

    Args:
        maximum_requests: requests of one caller that are answered at once, >= 1.
        maximum_rate: requests of one caller a second, over time; as many as a second brings may come together. 0: any.
        retry_delay: seconds after which a caller with too many requests at once is asked to come back.
    """

    def __init__(self, maximum_requests: int, maximum_rate: float, retry_delay: float) -> None:
        self._maximum_requests = maximum_requests
        self._seconds = 1 / maximum_rate if maximum_rate else 0.0
        self._retry_delay = retry_delay
        self._answering: Counter[str] = Counter()
        self._due: dict[str, float] = {}

    @contextmanager
    def request(self, caller: str) -> Iterator[None]:
        """One request of a caller, while it is answered.

        Raises:
            BusyError: the caller has, or had, too many.
        """
        if self._answering[caller] >= self._maximum_requests:
            raise BusyError(
                f"{self._maximum_requests} requests of this caller are being answered, which is the most at once",
                self._retry_delay,
            )
        self._count(caller)
        self._answering[caller] += 1
        try:
            yield
        finally:
            self._answering[caller] -= 1
            if not self._answering[caller]:
                del self._answering[caller]

    def _count(self, caller: str) -> None:
        """The generic cell rate algorithm: each request puts off by 1/rate when the caller has none to its name."""
        if not self._seconds:
            return
        now = time.monotonic()
        ahead = max(0.0, self._due.get(caller, now) - now)
        # A whole second's requests may come at once, and one always may.
        early = ahead + self._seconds - max(1.0, self._seconds)
        if early > 0:
            raise BusyError(f"expected at most {1 / self._seconds:g} requests a second of one caller", early)
        self._due[caller] = now + ahead + self._seconds
        if len(self._due) > _REMEMBERED:
            self._due = {name: due for name, due in self._due.items() if due > now}
