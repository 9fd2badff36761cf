"""The time of day, which tests move."""

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds since the epoch. Retries, retention and look-backs reckon by it; the pauses of threads do not."""

system_clock: Clock = time.time
