"""One call, tried again where that is safe, never beyond the caller's timeout."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import grpc

from medxgan.client.errors import BusyError, MedxganClientError, error_from_call

Answer = TypeVar("Answer")

FIRST_DELAY = 0.1
"""Seconds before the first retry of an unreachable server; doubled from try to try."""


def call_with_retries(call: Callable[[float], Answer], *, timeout: float, retries: int) -> Answer:
    """Make a call that changes nothing on the server, and make it again where the server was away or busy.

    gRPC's own retry policy takes no heed of the google.rpc.RetryInfo that a busy server sends.

    Args:
        call: makes the call once; gets the seconds that are left. A grpc.RpcError that it raises may lead to a retry.
        timeout: seconds for all tries together.
        retries: tries after the first.

    Raises:
        MedxganClientError: how the last try ended.
    """
    deadline = time.monotonic() + timeout
    tries = 0
    while True:
        try:
            return call(deadline - time.monotonic())
        except grpc.RpcError as failure:
            error = error_from_call(failure)
            delay = _delay(failure.code(), error, tries)
            if delay is None or tries == retries or time.monotonic() + delay >= deadline:
                raise error from failure
        tries += 1
        time.sleep(delay)


def _delay(code: grpc.StatusCode, error: MedxganClientError, tries: int) -> float | None:
    """Seconds to the next try; None where another try is not safe or would end the same."""
    if isinstance(error, BusyError):
        return error.retry_delay
    if code is grpc.StatusCode.UNAVAILABLE:
        # Spread out, so that callers cut off together do not come back together.
        return FIRST_DELAY * 2.0**tries * random.uniform(0.5, 1.0)  # noqa: S311
    return None
