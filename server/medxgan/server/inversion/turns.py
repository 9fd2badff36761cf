"""Whose turn it is: which waiting row joins the batch next, and which advancing row gives its place up for it.

Callers share a model by the gradient steps that they have been given: the caller with the fewest is next, and of its
requests the one with the fewest. A row keeps its place for a quantum of steps; after that it gives way to a row that
has had less, by more than a quantum, and goes on later from where it was. So a request with thousands of steps holds
nobody up for longer than a quantum, and requests of a quantum or less are never interrupted.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from medxgan.server.engine.port import InversionState


@dataclass(eq=False)
class Flow:
    """One request, from when it joins until it leaves.

    Attributes:
        caller: who asked.
        waiting: rows that wait for a place, in order.
        steps: gradient steps that its rows have been given.
    """

    caller: str
    waiting: "deque[Ticket]" = field(default_factory=deque)
    steps: int = 0


@dataclass(eq=False)
class Ticket:
    """A row's place in its request.

    Attributes:
        flow: the request.
        index: of the row in it.
        state: a batch of one, while it waits; while it advances, the batch holds it.
        stay: steps since it joined the batch.
    """

    flow: Flow
    index: int
    state: InversionState
    stay: int = 0


class Turns:
    """The waiting rows of one model and what each caller has been given.

    Args:
        quantum: gradient steps for which a row keeps its place, >= 1.
    """

    def __init__(self, quantum: int) -> None:
        self._quantum = quantum
        self._flows: list[Flow] = []
        self._given: Counter[str] = Counter()

    def join(self, flow: Flow) -> None:
        """Take in a request whose rows wait.

        A caller that was away starts level with the least of those that are here: having been idle is no credit.
        """
        here = {each.caller for each in self._flows}
        if flow.caller not in here:
            self._given[flow.caller] = min((self._given[caller] for caller in here), default=0)
            # Who has left is forgotten.
            self._given = Counter({caller: self._given[caller] for caller in (*here, flow.caller)})
        self._flows.append(flow)

    def leave(self, flow: Flow) -> None:
        """Drop a request: all its rows are done, or nobody waits for it any more. May be called again."""
        if flow in self._flows:
            self._flows.remove(flow)

    def count(self, ticket: Ticket, steps: int) -> None:
        """Note the gradient steps that a row was given."""
        ticket.stay += steps
        ticket.flow.steps += steps
        self._given[ticket.flow.caller] += steps

    @property
    def has_waiting(self) -> bool:
        """Whether any row waits."""
        return self._first_waiting() is not None

    def next(self) -> Ticket | None:
        """The row that joins next, taken from those that wait; None where none does."""
        flow = self._first_waiting()
        if flow is None:
            return None
        ticket = flow.waiting.popleft()
        # The next row of the same request comes after other requests of the same standing.
        self._flows.remove(flow)
        self._flows.append(flow)
        ticket.stay = 0
        return ticket

    def gives_way(self, advancing: Iterable[Ticket]) -> Ticket | None:
        """The advancing row that gives its place up to the one that is next; None where none has to."""
        least = self._first_waiting()
        if least is None:
            return None
        served = [ticket for ticket in advancing if ticket.stay >= self._quantum]
        if not served:
            return None
        most = max(served, key=lambda ticket: self._standing(ticket.flow))
        of_caller, of_request = 0, 1
        compared = of_request if most.flow.caller == least.caller else of_caller
        ahead = self._standing(most.flow)[compared] - self._standing(least)[compared]
        return most if ahead > self._quantum else None

    def hand_back(self, ticket: Ticket, state: InversionState) -> None:
        """Let a row wait that gave its place up.

        Args:
            ticket: the row.
            state: where it was, a batch of one.
        """
        ticket.state = state
        ticket.flow.waiting.append(ticket)

    def _first_waiting(self) -> Flow | None:
        return min((flow for flow in self._flows if flow.waiting), key=self._standing, default=None)

    def _standing(self, flow: Flow) -> tuple[int, int]:
        return self._given[flow.caller], flow.steps
