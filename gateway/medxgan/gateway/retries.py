"""When something that failed is tried again, and when no more."""

import random

from medxgan.gateway.settings import RetrySettings


def delay(settings: RetrySettings, attempts: int) -> float:
    """Seconds before the next try: exponential, and spread out, so that what failed together does not return together.

    Args:
        settings: what is done again, and when.
        attempts: that failed, 0 before the first failure is counted.
    """
    longest = min(settings.longest_s, settings.first_s * 2.0 ** min(attempts, 60))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - nothing is secret about it


def is_over(settings: RetrySettings, first_failed: float, now: float) -> bool:
    """Whether it has failed for so long that it is not tried again by itself."""
    return now - first_failed >= settings.give_up_s
