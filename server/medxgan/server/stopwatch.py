"""Where the time of one request goes: every moment belongs to one phase, so that the phases add up to the whole."""

import time
from enum import StrEnum


class Phase(StrEnum):
    """What a request is doing: the parts of `Timing` in explanation.proto."""

    QUEUED = "queued"
    PREPROCESS = "preprocess"
    INVERSION = "inversion"
    POSITIVE_REALIZATION = "positive_realization"
    MAPS = "maps"


class Stopwatch:
    """Runs from its making on, in the phase QUEUED.

    Attributes:
        is_waiting: whether it is in the phase QUEUED, and has not been told that what it waits for has begun: a later
            `switch` says when that was.
    """

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(Phase, 0.0)
        self._phase = Phase.QUEUED
        self.is_waiting = True
        self._since = time.perf_counter()
        self._intervals: list[tuple[Phase, float, float]] = []

    def switch(self, phase: Phase, at: float | None = None) -> None:
        """Go over to another phase.

        Args:
            phase: what begins.
            at: when it began, by `time.perf_counter()`; now, where left out. Not before the last switch: what is
                earlier counts as that.
        """
        self.is_waiting = phase is Phase.QUEUED
        self._count(phase, at)

    def milliseconds(self) -> dict[Phase, float]:
        """The time of each phase up to now."""
        self._count(self._phase)
        return {phase: 1000 * seconds for phase, seconds in self._seconds.items()}

    def intervals(self) -> list[tuple[Phase, float, float]]:
        """Every phase up to now in its turn, from when to when by `time.perf_counter()`."""
        self._count(self._phase)
        return list(self._intervals)

    def _count(self, phase: Phase, at: float | None = None) -> None:
        at = max(self._since, time.perf_counter() if at is None else at)
        self._seconds[self._phase] += at - self._since
        last = self._intervals[-1] if self._intervals else None
        if last is not None and last[0] is self._phase:
            self._intervals[-1] = (self._phase, last[1], at)
        else:
            self._intervals.append((self._phase, self._since, at))
        self._phase, self._since = phase, at
