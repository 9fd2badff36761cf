"""Threads that do one thing after the other."""

import threading
from collections.abc import Callable

from medxgan.gateway.intake.archive import ArchiveAwayError
from medxgan.gateway.telemetry.log import get_logger
from medxgan.gateway.telemetry.metrics import Metrics

log = get_logger(__name__)

PAUSE_AFTER_FAULT_S = 5.0
"""Seconds in which a lane whose step failed as it should not does nothing."""


class Lane:
    """A thread that takes step after step while there is something to do, and else waits.

    Args:
        name: of what it does, for the log and the figures.
        step: does one thing; false where there was nothing to do.
        metrics: where faults are counted.
        idle_s: seconds to wait where there was nothing to do; `wake` ends the wait.
    """

    def __init__(self, name: str, step: Callable[[], bool], metrics: Metrics, *, idle_s: float) -> None:
        self._name, self._step, self._metrics, self._idle_s = name, step, metrics, idle_s
        self._awake = threading.Event()
        self._is_stopping = False
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        self._awake.set()

    def tell(self) -> None:
        """End after the step that is under way."""
        self._is_stopping = True
        self._awake.set()

    def join(self, seconds: float | None = None) -> None:
        """Wait until it has ended, or for so long."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._is_stopping:
            pause = self._pause()
            if pause > 0 and not self._is_stopping:
                self._awake.wait(pause)
            self._awake.clear()

    def _pause(self) -> float:
        """Take a step, and say how long to wait."""
        try:
            has_done = self._step()
            self._say_whether_away(is_away=False)
        except ArchiveAwayError:
            self._say_whether_away(is_away=True)
            return self._idle_s
        except Exception as fault:  # noqa: BLE001 - the other lanes go on, and so does this one
            self._metrics.fault(self._name)
            # The text of an error may quote what it is about.
            log.error("fault", part=self._name, fault=type(fault).__name__)
            return PAUSE_AFTER_FAULT_S
        return 0.0 if has_done else self._idle_s

    def _say_whether_away(self, *, is_away: bool) -> None:
        if is_away != self._is_away:
            self._is_away = is_away
            (log.warning if is_away else log.info)("archive", part=self._name, is_away=is_away)
