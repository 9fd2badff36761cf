"""Values of a film that are ill-formed are taken as they are.

pydicom warns of each, and its warnings and log lines quote the value. What switches that off is one setting for the
process: here the last thread to leave sets it back.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from pydicom.config import disable_value_validation

# highdicom logs names of persons that it takes for ill-formed, and UIDs.
for _library in ("highdicom", "pydicom"):
    logging.getLogger(_library).propagate = False


class _Switch:
    """Off while anybody is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._off = ExitStack()

    @contextmanager
    def off(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._off.enter_context(disable_value_validation())
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._off.close()


_SWITCH = _Switch()


def unquoted() -> AbstractContextManager[None]:
    """While this is entered, pydicom says nothing of values that it reads and writes; for any number of threads."""
    return _SWITCH.off()
