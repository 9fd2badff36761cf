"""One copy of a model: its device thread, and the batch that requests share: `server/.../inversion/batch.py`."""

from collections.abc import Generator
from dataclasses import dataclass

from simpy import Environment, Event

from medxgan.server.engine.precedence import Precedence
from simulation.calibration import Calibration
from simulation.device import Device
from simulation.lane import Lane
from simulation.processors import Processors

Course = Generator[Event, object, None]
"""What a request or a worker waits for, one event after the other."""


@dataclass(frozen=True, eq=False)
class Request:
    """One request.

    Attributes:
        caller: who asks.
        steps: gradient steps, >= 1.
        urgent: whether STAT, else ROUTINE.
    """

    caller: str
    steps: int
    urgent: bool = False


class Replica:
    """Opens, inverts and closes, block by block.

    Attributes:
        load: requests that it has under way.
        device: its thread.

    Args:
        environment: the simulation's clock.
        processors: of its machine.
        calibration: what the parts take.
        maximum_rows: most rows that advance together, >= 1.
    """

    def __init__(
        self, environment: Environment, processors: Processors, calibration: Calibration, maximum_rows: int
    ) -> None:
        self._environment = environment
        self._calibration = calibration
        self._block_seconds: dict[tuple[int, int], float] = {}
        self.load = 0
        self.device = Device(environment, processors)
        # As the server has it: a row keeps its place for as long as the default takes.
        bounds = (maximum_rows, calibration.steps, calibration.check_interval, calibration.longest_block)
        self._urgent, self._others = Lane(environment, *bounds), Lane(environment, *bounds)
        self._precedence = Precedence()
        self._expected: set[Request] = set()
        self._arrival = environment.event()
        environment.process(self._work())

    def explain(self, request: Request) -> Course:
        """The course of a request on the device."""
        if request.urgent:
            self._expected.add(request)
        yield self.device.call(self._calibration.open, urgent=request.urgent)
        self._expected.discard(request)
        lane = self._urgent if request.urgent else self._others
        inverted = lane.join(request.caller, request.steps)
        self._arrive()
        yield inverted
        yield self.device.call(self._calibration.close, urgent=request.urgent)

    def _work(self) -> Course:
        while True:
            lane = yield from self._next_lane()
            yield from self._advance(lane)

    def _advance(self, lane: Lane) -> Course:
        rows, steps = lane.prepare()
        block = self.device.call(self._seconds(rows, steps), urgent=lane is self._urgent)
        while lane is self._others and not block.processed:
            if self._urgent.is_busy:
                yield from self._advance(self._urgent)
            else:
                yield block | self._next_arrival()
        if not block.processed:
            yield block
        lane.take()
        # Who was just told gets a turn first: to queue a call before the next block.
        yield self._environment.timeout(0)

    def _next_lane(self) -> Generator[Event, object, Lane]:
        while True:
            urgent, others = self._urgent.is_busy or bool(self._expected), self._others.is_busy
            if not (urgent or others):
                yield self._next_arrival()
            elif not self._precedence.is_urgent_next(urgent, others):
                return self._others
            else:
                # Who comes later prolongs nothing: this turn is for those that are expected now.
                expected = set(self._expected)
                while expected & self._expected and not self._urgent.is_busy:
                    yield self._next_arrival()
                if self._urgent.is_busy:
                    return self._urgent

    def _next_arrival(self) -> Event:
        self._arrival = self._environment.event()
        return self._arrival

    def _arrive(self) -> None:
        if not self._arrival.triggered:
            self._arrival.succeed()

    def _seconds(self, rows: int, steps: int) -> float:
        if (rows, steps) not in self._block_seconds:
            self._block_seconds[rows, steps] = self._calibration.block_seconds(rows, steps)
        return self._block_seconds[rows, steps]
