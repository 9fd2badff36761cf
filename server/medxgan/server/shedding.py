"""New requests are refused while memory is short, so that those under way are answered and the process lives."""

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medxgan.server.errors import MemoryShortageError
from medxgan.server.log import get_logger

SHARE_OF_GROUP = 0.9
"""Of the control group's limit, where the settings say nothing else. What is left is for requests under way."""

FREE_AGAIN = 0.95
"""Part of the most bytes that memory has to fall below before requests are let in again."""

LOOK_SECONDS = 0.1
"""Between two measurements while there is enough."""

SHORT_LOOK_SECONDS = 1.0
"""The same while there is not: memory is given back each time, which takes a while."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class MemoryBound:
    """How much memory may be in use.

    Attributes:
        most: bytes.
        measure: gives the bytes in use.
    """

    most: int
    measure: Callable[[], int]


def resident_bytes() -> int:
    """What this process has in memory, without the processes that decode files: these have bounds of their own."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * resource.getpagesize()


def memory_bound(
    maximum_bytes: int, membership: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")
) -> MemoryBound | None:
    """The bound in force.

    Args:
        maximum_bytes: of this process; 0: a share of the limit of its control group, which holds all its processes.
        membership: file that names the group of this process.
        groups: folder of all groups, version 2.

    Returns:
        None where nothing sets a bound.
    """
    if maximum_bytes:
        return MemoryBound(maximum_bytes, resident_bytes)
    try:
        path = next(line[3:] for line in membership.read_text(encoding="utf-8").splitlines() if line.startswith("0::"))
        group = groups / path.lstrip("/")
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        _working_set(group)
    except (OSError, StopIteration, ValueError):  # no such group, one without a limit, or one that tells nothing
        return None
    return MemoryBound(round(SHARE_OF_GROUP * limit), lambda: _working_set(group))


def _working_set(group: Path) -> int:
    """Bytes of a control group, without the copies of files that the kernel drops by itself, as Kubernetes counts."""
    used = int((group / "memory.current").read_text(encoding="ascii"))
    fields = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    return max(0, used - int(fields.get("inactive_file", 0)))


class Shedding:
    """Refuses requests while memory is short. Used from one event loop.

    One request is always let in where no other is under way: memory that nothing gives back would else end the service.

    Args:
        bound: of memory; None: none is refused.
        retry_delay: seconds after which a refused caller is asked to try again.
        give_back: called while memory is short, to give back what is free.
    """

    def __init__(
        self, bound: MemoryBound | None = None, retry_delay: float = 2.0, give_back: Callable[[], None] = lambda: None
    ) -> None:
        self._bound = bound
        self._retry_delay = retry_delay
        self._give_back = give_back
        self._running = 0
        self._short = False
        self._next_look = 0.0

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request, while it is answered.

        Raises:
            MemoryShortageError: memory is short, and other requests are under way.
        """
        if self._is_short() and self._running:
            raise MemoryShortageError("the server has no memory to spare", self._retry_delay)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    def _is_short(self) -> bool:
        now = time.monotonic()
        if self._bound is None or now < self._next_look:
            return self._short
        used, was_short = self._bound.measure(), self._short
        self._short = used > (FREE_AGAIN * self._bound.most if was_short else self._bound.most)
        if self._short:
            self._give_back()
        if self._short != was_short:
            _log.warning("memory_short" if self._short else "memory_free", used=used, most=self._bound.most)
        self._next_look = now + (SHORT_LOOK_SECONDS if self._short else LOOK_SECONDS)
        return self._short
