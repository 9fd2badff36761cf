"""The thread that makes every call to one copy's engine, as `server/.../engine/device_thread.py` has it."""

from collections import deque
from collections.abc import Callable

from simpy import Environment, Event

from medxgan.server.engine.precedence import Precedence
from simulation.processors import Processors

OnCall = Callable[[bool, float, float], None]
"""Told of every call: whether it was urgent, when it began and when it ended."""


class Device:
    """One call after the other: urgent ones first, by the server's own `Precedence`, else in the order of arrival.

    Attributes:
        on_call: told of every call that ended; None for nobody.
        busy: seconds that calls have taken.

    Args:
        environment: the simulation's clock.
        processors: that it runs on.
    """

    def __init__(self, environment: Environment, processors: Processors) -> None:
        self._environment = environment
        self._processors = processors
        self._urgent: deque[tuple[float, Event]] = deque()
        self._others: deque[tuple[float, Event]] = deque()
        self._precedence = Precedence()
        self._is_busy = False
        self.on_call: OnCall | None = None
        self.busy = 0.0

    def call(self, seconds: float, *, urgent: bool = False) -> Event:
        """Queue a call that takes so long by itself; what happens when it has ended."""
        result = self._environment.event()
        (self._urgent if urgent else self._others).append((seconds, result))
        if not self._is_busy:
            self._next()
        return result

    def _next(self) -> None:
        self._is_busy = bool(self._urgent or self._others)
        if not self._is_busy:
            return
        urgent = self._precedence.is_urgent_next(bool(self._urgent), bool(self._others))
        seconds, result = (self._urgent if urgent else self._others).popleft()
        began = self._environment.now

        def ended(_: Event) -> None:
            self.busy += self._environment.now - began
            if self.on_call is not None:
                self.on_call(urgent, began, self._environment.now)
            # As the thread does, which takes what is queued before the event loop hears of the result.
            self._next()
            result.succeed()

        self._processors.run(seconds).callbacks.append(ended)
