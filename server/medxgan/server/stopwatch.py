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

    def _count(self, phase: Phase, at: float | None = None) -> None:
        at = max(self._since, time.perf_counter() if at is None else at)
        self._seconds[self._phase] += at - self._since
        self._phase, self._since = phase, at
