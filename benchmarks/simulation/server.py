"""One server: a machine with its cores, and the copies of the model on it."""

from dataclasses import dataclass

from simpy import Environment

from simulation.calibration import Calibration
from simulation.processors import Processors
from simulation.replica import Course, Replica, Request


@dataclass(frozen=True)
class ServerPolicy:
    """How a server is set up: the settings of `medxgan serve`.

    Attributes:
        copies: of the model (`--replicas`), one thread each.
        maximum_rows: most rows that advance together (`--maximum-batch`).
        maximum_waiting: explanations that may wait besides (`--maximum-waiting`); None for no bound.
    """

    copies: int = 2
    maximum_rows: int = 8
    maximum_waiting: int | None = 64

    @property
    def places(self) -> float:
        """Explanations that it takes on."""
        if self.maximum_waiting is None:
            return float("inf")
        return self.maximum_rows * self.copies + self.maximum_waiting


class Server:
    """Answers requests by the copy that has least to do.

    Attributes:
        policy: how it is set up.
        replicas: the copies.
        ongoing: requests under way.

    Args:
        environment: the simulation's clock.
        calibration: what the parts of an explanation take.
        policy: how it is set up.
    """

    def __init__(self, environment: Environment, calibration: Calibration, policy: ServerPolicy) -> None:
        self._processors = Processors(environment, calibration.slowed)
        self._host = calibration.host
        self.policy = policy
        self.replicas = [
            Replica(environment, self._processors, calibration, policy.maximum_rows) for _ in range(policy.copies)
        ]
        self.ongoing = 0

    @property
    def admits(self) -> bool:
        """Whether there is room for one more."""
        return self.ongoing < self.policy.places

    def explain(self, request: Request) -> Course:
        """The course of a request. Where its `host` time goes is not measured: half is taken before, half after."""
        replica = min(self.replicas, key=lambda each: each.load)
        replica.load += 1
        if self._host:
            yield self._processors.run(self._host / 2)
        yield from replica.explain(request)
        if self._host:
            yield self._processors.run(self._host / 2)
        replica.load -= 1
