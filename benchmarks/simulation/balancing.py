"""Which server a request goes to."""

from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Balancing(StrEnum):
    """A rule, by the name that its makers give it."""

    ROUND_ROBIN = "round robin"
    LEAST_LOADED = "least loaded"
    POWER_OF_TWO = "power of two choices"


class Balancer(Protocol):
    """Chooses among the servers that take requests."""

    def __call__(self, serving: NDArray[np.int64], ongoing: NDArray[np.int64]) -> int:
        """The number of one of them.

        Args:
            serving: numbers of those that take requests, rising, at least one.
            ongoing: requests under way on every server, by its number.
        """
        ...


def balancer(rule: Balancing, random: np.random.Generator) -> Balancer:
    """A balancer of this rule."""
    if rule is Balancing.ROUND_ROBIN:
        return RoundRobin()
    return least_loaded if rule is Balancing.LEAST_LOADED else PowerOfTwo(random)


class RoundRobin:
    """One after the other, whatever they have to do: gRPC's `round_robin`, for one client of the whole fleet."""

    def __init__(self) -> None:
        self._last = -1

    def __call__(self, serving: NDArray[np.int64], ongoing: NDArray[np.int64]) -> int:  # noqa: ARG002 - the protocol
        """The next; after the last, the first."""
        place = int(np.searchsorted(serving, self._last, side="right"))
        self._last = int(serving[place % len(serving)])
        return self._last


def least_loaded(serving: NDArray[np.int64], ongoing: NDArray[np.int64]) -> int:
    """The one that has least to do, of several the first: a balancer that knows of every request."""
    return int(serving[np.argmin(ongoing[serving])])


class PowerOfTwo:
    """Of two drawn by chance the one that has less to do: Ray Serve's router, and Envoy's `LEAST_REQUEST`."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random

    def __call__(self, serving: NDArray[np.int64], ongoing: NDArray[np.int64]) -> int:
        """One of two different ones, where there are two."""
        if len(serving) == 1:
            return int(serving[0])
        first = int(self._random.integers(len(serving)))
        second = (first + 1 + int(self._random.integers(len(serving) - 1))) % len(serving)
        one, other = int(serving[first]), int(serving[second])
        return one if ongoing[one] <= ongoing[other] else other
