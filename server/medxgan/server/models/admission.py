"""Bounds the requests that are in the house at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from medxgan.server.errors import BusyError, SettingsError


class Admission:
    """Lets in as many requests as there is room for and refuses the rest. Used from one event loop.

    A request takes a place for each of its restarts: as many rows as it brings.

    Args:
        capacity: places, >= 1.
        retry_delay: seconds after which a refused caller is asked to try again.
    """

    def __init__(self, capacity: int, retry_delay: float) -> None:
        self._capacity = capacity
        self._retry_delay = retry_delay
        self._inside = 0

    @property
    def inside(self) -> int:
        """Places taken by requests under way or waiting."""
        return self._inside

    @contextmanager
    def enter(self, restarts: int = 1) -> Iterator[None]:
        """Hold the places of one request for its time.

        Args:
            restarts: rows that it brings, >= 1.

        Raises:
            SettingsError: it brings more rows than there are places, taken or free.
            BusyError: too few places are free.
        """
        if restarts > self._capacity:
            raise SettingsError(
                "inversion.restarts", f"expected at most {self._capacity}, this server's places, got {restarts}"
            )
        if self._inside + restarts > self._capacity:
            taken = f"{self._inside} of {self._capacity} places for requests are taken"
            raise BusyError(taken if restarts == 1 else f"{taken}, {restarts} are needed", self._retry_delay)
        self._inside += restarts
        try:
            yield
        finally:
            self._inside -= restarts
