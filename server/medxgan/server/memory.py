"""Memory that was needed for a large request goes back to the system.

gRPC receives a message in thousands of small pieces. The allocator of glibc keeps what is freed between others that
live: after some large requests that is hundreds of megabytes that nothing uses.
"""

import ctypes
import sys
from collections.abc import Callable


def _of_glibc() -> Callable[[int], int] | None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    return trim if callable(trim) else None


_trim = _of_glibc()


def give_back_free_memory() -> None:
    """Give back what is free. Takes milliseconds, and tens of them where it is much: not for the event loop."""
    if _trim is not None:
        _trim(0)
