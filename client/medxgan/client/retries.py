"""When a call is made again: one policy for both clients, which make and await calls each in their own way."""

import random
import time
from collections.abc import Callable

import grpc

from medxgan.client.errors import BusyError, MedxganClientError, UnavailableError, error_from_call

FIRST_DELAY, LONGEST_DELAY = 0.1, 1.0
"""Seconds before the first retry, doubled from try to try, up to the second; a busy server may ask for more."""


class Tries:
    """The tries of one call that changes nothing on the server.

    gRPC's own retry policy takes no heed of the google.rpc.RetryInfo that a busy server sends.

    Args:
        timeout: seconds for all tries together, from now.
        patience: seconds, from the first failure on, in which another try may begin.
        hint: added to the error where the server was not reached.
        is_closed: whether the client has ended the connection itself, after which there is no other try.
    """

    def __init__(
        self, timeout: float, patience: float, *, hint: str = "", is_closed: Callable[[], bool] = lambda: False
    ) -> None:
        self._deadline = time.monotonic() + timeout
        self._patience = patience
        self._hint = hint
        self._is_closed = is_closed
        self._failed = 0
        self._last_begin = self._deadline

    @property
    def seconds_left(self) -> float:
        """Seconds that the next try may take."""
        return max(0.0, self._deadline - time.monotonic())

    def delay_after(self, failure: grpc.RpcError) -> float:
        """Seconds to wait before the next try.

        Raises:
            MedxganClientError: what the failure was, where another try is not safe, or would end the same, or is late.
        """
        error = error_from_call(failure)
        if isinstance(error, UnavailableError) and self._hint:
            error = UnavailableError(f"{error} ({self._hint})")
        now = time.monotonic()
        if not self._failed:
            self._last_begin = min(self._deadline, now + self._patience)
        delay = self._delay(failure.code(), error)
        if delay is None or self._is_closed() or now + delay >= self._last_begin:
            raise error from failure
        self._failed += 1
        return delay

    def _delay(self, code: grpc.StatusCode, error: MedxganClientError) -> float | None:
        # Spread out, so that callers cut off together do not come back together.
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0**self._failed) * random.uniform(0.5, 1.0)  # noqa: S311
        if isinstance(error, BusyError):
            # A hint of 0, or one from a clock that went back, is none to ask at once and again by.
            return None if error.retry_delay is None else max(error.retry_delay, delay)
        # A server that ends cancels what meets its last moments.
        return delay if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED) else None
