"""Bounds the work that one model has taken on, and how much of it may be one caller's."""

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from medxgan.server.errors import BusyError
from medxgan.server.explanation.settings import ExplanationSettings
from medxgan.server.explanation.table import MAPS
from medxgan.v1 import bundle_pb2

PASSES_PER_STEP = 10
"""Passes of a classifier that cost about as much as one gradient step through generator and classifier."""

USUAL_STEPS = 50
"""Steps of a usual inversion, by which a bundle without a generator is measured."""

LEAST = 1.0
"""What the least request counts for: it holds a place while it waits, whatever it computes."""

_GRAIN = 2.0**20
"""Costs are whole numbers of 1 / _GRAIN: so sums of them are exact, and nothing stays of a request that has left."""


def request_cost(settings: ExplanationSettings, bundle: bundle_pb2.Bundle) -> float:
    """What a request costs, in explanations with the bundle's default steps: at least 1.

    Restarts times steps count, and the passes that the maps need beside the inversion.
    """
    steps = 0
    if settings.inversion is not None:
        searches = 1 if settings.positive_end else 0
        steps = settings.inversion.steps * (settings.inversion.restarts + searches)
    default = bundle.inversion.default_steps or USUAL_STEPS
    passes = sum(MAPS[kind].passes(settings, bundle.image.height) for kind in settings.maps)
    return max(LEAST, (steps + passes / PASSES_PER_STEP) / default)


@dataclass(frozen=True)
class ModelCapacity:
    """How much one model takes on.

    Attributes:
        maximum_rows: most inversions that advance together on a replica, and most rows of a network's call, >= 1.
        maximum_waiting: explanations with the default steps that may wait beside as many as advance, >= 0.
        caller_share: part (0 to 1] of both that one caller may hold.
        retry_delay_seconds: after which a refused caller is asked to try again.
    """

    maximum_rows: int = 8
    maximum_waiting: int = 64
    caller_share: float = 0.75
    retry_delay_seconds: float = 2.0


class Admission:
    """Lets in as much work as there is room for and refuses the rest. Used from one event loop.

    Args:
        capacity: how much there is room for.
        replicas: how many full batches may advance at once.
    """

    def __init__(self, capacity: ModelCapacity, replicas: int = 1) -> None:
        self._capacity = float(capacity.maximum_rows * replicas + capacity.maximum_waiting)
        self._caller_capacity = max(LEAST, math.floor(capacity.caller_share * self._capacity * _GRAIN) / _GRAIN)
        self._retry_delay = capacity.retry_delay_seconds
        self._inside: defaultdict[str, float] = defaultdict(float)

    @property
    def inside(self) -> float:
        """Work under way or waiting."""
        return sum(self._inside.values())

    def check(self, caller: str, cost: float = LEAST) -> None:
        """Refuse what there is no room for, without holding a place: before the cost is known, what costs least.

        Args:
            caller: who asks.
            cost: of the request, at most what a caller may hold.

        Raises:
            BusyError: as `enter`.
        """
        if self.inside + cost > self._capacity:
            raise BusyError("the model has as many requests as it takes", self._retry_delay)
        if self._inside.get(caller, 0.0) + cost > self._caller_capacity:
            raise BusyError("the caller has as many requests with the model as one caller may have", self._retry_delay)

    @contextmanager
    def enter(self, caller: str, cost: float = LEAST) -> Iterator[None]:
        """Hold the place of one request for its time.

        Args:
            caller: who asks.
            cost: of the request. What costs more than a caller may hold is let in where the caller holds nothing.

        Raises:
            BusyError: there is no room for it, or the caller holds its share already.
        """
        cost = min(round(cost * _GRAIN) / _GRAIN, self._caller_capacity)
        self.check(caller, cost)
        self._inside[caller] += cost
        try:
            yield
        finally:
            self._inside[caller] -= cost
            if self._inside[caller] <= 0:
                del self._inside[caller]
