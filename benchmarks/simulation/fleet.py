"""Servers, a balancer and perhaps an autoscaler under given arrivals: from these to what every request met with."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from simpy import Environment

from simulation.arrivals import Arrivals
from simulation.autoscaling import Autoscaler, AutoscalingPolicy
from simulation.balancing import Balancing, balancer
from simulation.calibration import Calibration
from simulation.costs import Cost
from simulation.replica import Course, Request
from simulation.server import Server, ServerPolicy


@dataclass(frozen=True)
class Fleet:
    """What is simulated.

    Attributes:
        servers: at the start.
        server: how each is set up.
        balancing: which one a request goes to.
        autoscaling: when there are more or fewer; None: always as many.
    """

    servers: int
    server: ServerPolicy = field(default_factory=ServerPolicy)
    balancing: Balancing = Balancing.LEAST_LOADED
    autoscaling: AutoscalingPolicy | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of the requests, in the order in which they came.

    Attributes:
        arrivals: the requests.
        latency: [N] seconds from coming to leaving; NaN where it was refused.
        server: [N] number of the server that it went to.
        servers: of every change of their number, when and to how many.
        cost: of the whole run.
    """

    arrivals: Arrivals
    latency: NDArray[np.float64]
    server: NDArray[np.int64]
    servers: list[tuple[float, int]]
    cost: Cost

    @property
    def refused(self) -> float:
        """Share of the requests, in [0, 1]."""
        return float(np.isnan(self.latency).mean())

    @property
    def throughput(self) -> float:
        """Answers a second, from the first arrival to the last answer."""
        left = self.arrivals.times + self.latency
        return int(np.isfinite(left).sum()) / float(np.nanmax(left) - self.arrivals.times[0])

    def percentiles(self, *percents: float, urgent: bool | None = None, warm_up: float = 0.0) -> list[float]:
        """Latencies of those that were answered.

        Args:
            percents: which, in [0, 100].
            urgent: only those that are, or only those that are not; None for all.
            warm_up: share of the requests that came first and are left out.
        """
        latency = self.latency[int(warm_up * len(self.latency)) :]
        if urgent is not None:
            latency = latency[self.arrivals.urgent[int(warm_up * len(self.latency)) :] == urgent]
        return [float(each) for each in np.nanpercentile(latency, percents)]


def simulate(fleet: Fleet, calibration: Calibration, arrivals: Arrivals, seed: int = 0) -> Outcome:
    """Run a fleet until every request has left.

    Args:
        fleet: what is simulated.
        calibration: what the parts of an explanation take.
        arrivals: the requests, at least one.
        seed: of what is left to chance: the balancer's draws.
    """
    return _Run(fleet, calibration, arrivals, seed).outcome()


class _Run:
    def __init__(self, fleet: Fleet, calibration: Calibration, arrivals: Arrivals, seed: int) -> None:
        self._environment = Environment()
        self._fleet, self._calibration, self._arrivals = fleet, calibration, arrivals
        self._choose = balancer(fleet.balancing, np.random.default_rng(seed))
        self._servers: list[Server] = []
        self._began: list[float] = []
        self._ended: list[float | None] = []
        self._ongoing = np.zeros(0, np.int64)
        self._serving = np.zeros(0, np.int64)
        self._starting = 0
        self._changes: list[tuple[float, int]] = []
        self._latency = np.full(len(arrivals), np.nan)
        self._chosen = np.full(len(arrivals), -1, np.int64)
        self._left = 0
        self._all_left = self._environment.event()

    def outcome(self) -> Outcome:
        for _ in range(self._fleet.servers):
            self._serve(self._add())
        self._environment.process(self._come())
        if self._fleet.autoscaling is not None:
            self._environment.process(self._scale(self._fleet.autoscaling))
        self._environment.run(self._all_left)
        now = self._environment.now
        paid = sum((now if end is None else end) - began for began, end in zip(self._began, self._ended, strict=True))
        cost = Cost(
            answered=int(np.isfinite(self._latency).sum()),
            core_seconds=paid * self._fleet.server.copies,
            busy_seconds=sum(replica.device.busy for server in self._servers for replica in server.replicas),
        )
        return Outcome(self._arrivals, self._latency, self._chosen, self._changes, cost)

    def _come(self) -> Course:
        arrivals = self._arrivals
        columns = (arrivals.times, arrivals.callers, arrivals.steps, arrivals.urgent)
        for number, (time, caller, steps, urgent) in enumerate(zip(*(each.tolist() for each in columns), strict=True)):
            yield self._environment.timeout(max(0.0, time - self._environment.now))
            request = Request(str(caller), steps or self._calibration.steps, urgent)
            chosen = self._choose(self._serving, self._ongoing)
            self._chosen[number] = chosen
            if self._servers[chosen].admits:
                self._environment.process(self._answer(number, request, chosen))
            else:
                self._leave()

    def _answer(self, number: int, request: Request, chosen: int) -> Course:
        server = self._servers[chosen]
        server.ongoing += 1
        self._ongoing[chosen] += 1
        yield from server.explain(request)
        server.ongoing -= 1
        self._ongoing[chosen] -= 1
        self._latency[number] = self._environment.now - self._arrivals.times[number]
        if server.ongoing == 0 and chosen not in self._serving:
            self._ended[chosen] = self._environment.now
        self._leave()

    def _leave(self) -> None:
        self._left += 1
        if self._left == len(self._arrivals):
            self._all_left.succeed()

    def _scale(self, policy: AutoscalingPolicy) -> Course:
        autoscaler = Autoscaler(policy)
        while True:
            yield self._environment.timeout(policy.interval)
            there = len(self._serving) + self._starting
            wanted = autoscaler.look(self._environment.now, int(self._ongoing.sum()), there)
            for _ in range(there, wanted):
                self._starting += 1
                self._environment.process(self._start(policy.start_delay))
            if wanted < there:
                self._stop(there - wanted)

    def _start(self, delay: float) -> Course:
        number = self._add()  # from now on it is paid for
        yield self._environment.timeout(delay)
        self._starting -= 1
        self._serve(number)

    def _add(self) -> int:
        self._servers.append(Server(self._environment, self._calibration, self._fleet.server))
        self._began.append(self._environment.now)
        self._ended.append(None)
        self._ongoing = np.append(self._ongoing, 0)
        return len(self._servers) - 1

    def _serve(self, number: int) -> None:
        self._serving = np.append(self._serving, number)
        self._changes.append((float(self._environment.now), len(self._serving)))

    def _stop(self, number: int) -> None:
        """The youngest take no more, as many as may be of those that serve; they end once they have answered."""
        stopped = self._serving[max(1, len(self._serving) - number) :]
        self._serving = self._serving[: len(self._serving) - len(stopped)]
        for each in stopped.tolist():
            if self._servers[each].ongoing == 0:
                self._ended[each] = self._environment.now
        self._changes.append((float(self._environment.now), len(self._serving)))
