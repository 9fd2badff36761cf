"""How many servers there should be: by requests under way, as Ray Serve and Kubernetes decide it."""

import math
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class AutoscalingPolicy:
    """When to start and stop servers. Times are in seconds.

    Attributes:
        target: requests under way that a server should have.
        minimum: fewest servers.
        maximum: most servers.
        interval: between two looks.
        look_back: that requests under way are averaged over.
        up_delay: for which more have to be wanted before they are started.
        down_delay: for which fewer have to be wanted before any is stopped.
        tolerance: share of the target that is let pass, as HPA has it.
        start_delay: from the decision to the first answer: a node, an image, the start of the server.
    """

    target: float
    minimum: int = 1
    maximum: int = 1000
    interval: float = 10.0
    look_back: float = 30.0
    up_delay: float = 30.0
    down_delay: float = 600.0
    tolerance: float = 0.0
    start_delay: float = 30.0


RAY_SERVE = AutoscalingPolicy(target=2.0)
"""The defaults of its `AutoscalingConfig`: looks every 10 s, over 30 s, up after 30 s, down after 600 s."""

KUBERNETES = AutoscalingPolicy(
    target=2.0, minimum=2, interval=15.0, look_back=60.0, up_delay=0.0, down_delay=600.0, tolerance=0.1
)
"""`server/deployment/kubernetes/base/autoscaler.yaml`, but for its bound of eight: HPA looks every 15 s and lets a
tenth pass. That the figure is a minute's mean is assumed: what it is depends on how often Prometheus collects."""


class Autoscaler:
    """Told of the requests under way at every look, says how many servers there should be.

    More are wanted only once they have been wanted for `up_delay` without a break, and then as many as were wanted at
    the least meanwhile; fewer accordingly, and as many as were wanted at the most.

    Args:
        policy: when.
    """

    def __init__(self, policy: AutoscalingPolicy) -> None:
        self._policy = policy
        self._seen: deque[tuple[float, float]] = deque()
        self._wanted: deque[tuple[float, int]] = deque()

    def look(self, now: float, ongoing: float, servers: int) -> int:
        """Servers that there should be.

        Args:
            now: seconds, later than at the last look.
            ongoing: requests under way.
            servers: that there are, and those that are being started.
        """
        policy = self._policy
        self._seen.append((now, ongoing))
        while self._seen[0][0] <= now - policy.look_back:
            self._seen.popleft()
        mean = sum(seen for _, seen in self._seen) / len(self._seen)
        wanted = servers
        if abs(mean / (policy.target * servers) - 1) > policy.tolerance:
            wanted = math.ceil(mean / policy.target)
        self._wanted.append((now, min(policy.maximum, max(policy.minimum, wanted))))
        self._wanted = deque(each for each in self._wanted if each[0] >= now - max(policy.up_delay, policy.down_delay))
        more = self._held(now, policy.up_delay)
        if more is not None and min(more) > servers:
            return min(more)
        fewer = self._held(now, policy.down_delay)
        if fewer is not None and max(fewer) < servers:
            return max(fewer)
        return servers

    def _held(self, now: float, delay: float) -> list[int] | None:
        """What was wanted for so long; None where it has not been looked at for so long."""
        if self._wanted[0][0] > now - delay:
            return None
        return [wanted for at, wanted in self._wanted if at >= now - delay]
