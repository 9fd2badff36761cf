"""Bounds the requests that are in the house at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from medxgan.server.errors import BusyError


class Admission:
    """Lets in as many requests as there is room for and refuses the rest. Used from one event loop.

    Args:
        capacity: most requests under way or waiting, >= 1.
        retry_delay: seconds after which a refused caller is asked to try again.
    """

    def __init__(self, capacity: int, retry_delay: float) -> None:
        self._capacity = capacity
        self._retry_delay = retry_delay
        self._inside = 0

    @property
    def inside(self) -> int:
        """Requests under way or waiting."""
        return self._inside

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold a place for the time of one request.

        Raises:
            BusyError: every place is taken.
        """
        if self._inside >= self._capacity:
            raise BusyError(f"all {self._capacity} places for requests are taken", self._retry_delay)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
