"""The cores of one machine, shared by all that is at work on them."""

import heapq
import itertools
from collections.abc import Callable

from simpy import Environment, Event, Timeout


class Processors:
    """Runs pieces of work side by side, each as many times slower as was measured for so many at once.

    Every piece advances at the same rate, so the order in which they end is that of rate-free "progress": one heap, and
    one timer for the first of them.

    Args:
        environment: the simulation's clock.
        slowed: how many times longer work takes with so many at work, >= 1.
    """

    def __init__(self, environment: Environment, slowed: Callable[[int], float]) -> None:
        self._environment = environment
        self._slowed = slowed
        self._progress = 0.0
        self._since = 0.0
        self._running: list[tuple[float, int, Event]] = []
        self._order = itertools.count()
        self._plan = 0

    def run(self, seconds: float) -> Event:
        """What happens when a piece of work is done that takes so many seconds by itself."""
        self._advance()
        done = self._environment.event()
        heapq.heappush(self._running, (self._progress + seconds, next(self._order), done))
        self._set_timer()
        return done

    def _advance(self) -> None:
        if self._running:
            self._progress += (self._environment.now - self._since) / self._slowed(len(self._running))
        self._since = self._environment.now

    def _set_timer(self) -> None:
        # A timer can't be taken back: one that was set for another state of things is passed over when it rings.
        self._plan += 1
        if self._running:
            missing = max(0.0, self._running[0][0] - self._progress)
            timer = self._environment.timeout(missing * self._slowed(len(self._running)), self._plan)
            timer.callbacks.append(self._ring)

    def _ring(self, timer: Timeout) -> None:
        if timer.value != self._plan:
            return
        # Exactly: sums of rounded times would leave it a little short.
        self._progress, _, done = heapq.heappop(self._running)
        self._since = self._environment.now
        self._set_timer()
        done.succeed()
