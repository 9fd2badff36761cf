"""An archive that is busy is asked again, a little later each time."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import requests

Answer = TypeVar("Answer")

WAITS = (1.0, 4.0, 16.0)
"""Seconds before an archive is asked again."""

BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Answers that say so, whatever is asked for."""


def patiently(ask: Callable[[], Answer], may_pass: Callable[[requests.RequestException], bool]) -> Answer:
    """What an archive answers at last; raises what it answers the last time.

    Args:
        ask: asks it.
        may_pass: whether a failure may be over the next time.
    """
    for wait in WAITS:
        try:
            return ask()
        except requests.RequestException as error:
            if not may_pass(error):
                raise
        time.sleep(wait)
    return ask()


def status_of(error: requests.RequestException) -> int | None:
    """What an archive answered with; None where it did not answer, or not with an error."""
    return error.response.status_code if isinstance(error, requests.HTTPError) and error.response is not None else None
