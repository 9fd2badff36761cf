"""Values of a film that are ill-formed are taken as they are: pydicom warns of each, and its warnings quote the value.

What switches that off is one setting for the process, and pydicom's own context manager sets it back to what it found:
of two threads the first to leave would switch it on for the other, and the last off for good. Here the last one to
leave sets it back.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pydicom.config import disable_value_validation

_lock = threading.Lock()
_off = ExitStack()
_inside = 0


@contextmanager
def unquoted() -> Iterator[None]:
    """While this is entered, pydicom says nothing of values that it reads and writes; for any number of threads."""
    global _inside
    with _lock:
        if not _inside:
            _off.enter_context(disable_value_validation())
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _off.close()
