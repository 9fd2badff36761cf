"""Keeps the libraries that read files from talking about what they read."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def quiet_reader() -> Iterator[None]:
    """Decode a file without warnings or log lines of the library that reads it.

    Such lines may quote the file, and a file may name a patient. Warning filters belong to the process, so one file is
    read at a time; this also bounds the memory that decompressed pictures take.
    """
    pydicom = logging.getLogger("pydicom")
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        propagated, pydicom.propagate = pydicom.propagate, False
        try:
            yield
        finally:
            pydicom.propagate = propagated
