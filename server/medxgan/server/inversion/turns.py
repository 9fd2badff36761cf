"""Whose turn it is: which rows advance together next, which wait, and which give their places up.

Callers share a model twice over. Of the places each has an equal share at most, so that a row of one who asks little
does not take as long as the many rows of another beside it; what is above the share waits, and goes on before that
caller's other rows. And by the gradient steps that they have been given: the caller with the fewest is next, and of its
requests the one with the fewest. A row keeps its place for a quantum of steps; after that it gives way to a row that
has had less, by more than a quantum, and goes on later from where it was. So a request with thousands of steps holds
nobody up for longer than a quantum, and of a caller who is alone requests of a quantum or less are never interrupted.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
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
        stay: steps of its quantum that it has had.
    """

    flow: Flow
    index: int
    state: InversionState
    stay: int = 0


@dataclass(frozen=True)
class Regrouping:
    """How the rows that advance together change between two blocks.

    Attributes:
        staying: those that go on, in the order in which they were.
        leaving: those that gave their places up; each is to be handed back.
        joining: those that waited.
    """

    staying: list[Ticket]
    leaving: list[Ticket]
    joining: list[Ticket]

    @property
    def advancing(self) -> list[Ticket]:
        """All that take part in the next block."""
        return [*self.staying, *self.joining]


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
        return any(flow.waiting for flow in self._flows)

    def regroup(self, advancing: Iterable[Ticket], places: int) -> Regrouping:
        """Say which rows take part in the next block.

        Args:
            advancing: those that took part in the last one and are not done.
            places: rows that may advance together, >= 1.
        """
        share = self._share(places)
        staying, leaving = _within_share(list(advancing), share)
        joining: list[Ticket] = []
        held = Counter(ticket.flow.caller for ticket in staying)
        while (found := self._next(staying, places - len(staying) - len(joining), held, share)) is not None:
            flow, gives_way = found
            if gives_way is not None:
                staying.remove(gives_way)
                leaving.append(gives_way)
                held[gives_way.flow.caller] -= 1
            joining.append(flow.waiting.popleft())
            held[flow.caller] += 1
            # The next row of the same request comes after other requests of the same standing.
            self._flows.remove(flow)
            self._flows.append(flow)
        return Regrouping(staying, leaving, joining)

    def hand_back(self, ticket: Ticket, state: InversionState) -> None:
        """Let a row wait that gave its place up: before others of its caller, where that was within its quantum.

        Args:
            ticket: the row.
            state: where it was, a batch of one.
        """
        ticket.state = state
        if ticket.stay < self._quantum:
            ticket.flow.waiting.appendleft(ticket)
        else:
            ticket.stay = 0
            ticket.flow.waiting.append(ticket)

    def _share(self, places: int) -> int:
        """Of the places, for each caller that has rows."""
        callers = {flow.caller for flow in self._flows}
        return -(-places // max(1, len(callers)))

    def _next(
        self, staying: list[Ticket], free: int, held: Mapping[str, int], share: int
    ) -> tuple[Flow, Ticket | None] | None:
        """The request whose row joins next, and the row whose place it takes where none is free; None: no more do."""
        for flow in self._first_of_each_caller():
            has_share = held.get(flow.caller, 0) >= share
            if free and not has_share:
                return flow, None
            gives_way = self._gives_way((t for t in staying if not has_share or t.flow.caller == flow.caller), flow)
            if gives_way is not None:
                return flow, gives_way
        return None

    def _first_of_each_caller(self) -> Iterable[Flow]:
        """The requests whose rows are next, one of each caller, in the callers' order."""
        first: dict[str, Flow] = {}
        for flow in sorted((flow for flow in self._flows if flow.waiting), key=self._order):
            first.setdefault(flow.caller, flow)
        return first.values()

    def _gives_way(self, staying: Iterable[Ticket], flow: Flow) -> Ticket | None:
        """The row that has had its quantum and gives its place up to one of this request; None where none has to."""
        served = [ticket for ticket in staying if ticket.stay >= self._quantum]
        if not served:
            return None
        most = max(served, key=lambda ticket: self._standing(ticket.flow))
        of_caller, of_request = 0, 1
        compared = of_request if most.flow.caller == flow.caller else of_caller
        ahead = self._standing(most.flow)[compared] - self._standing(flow)[compared]
        return most if ahead > self._quantum else None

    def _order(self, flow: Flow) -> tuple[int, bool, int]:
        given, steps = self._standing(flow)
        was_interrupted = flow.waiting[0].stay > 0
        return given, not was_interrupted, steps

    def _standing(self, flow: Flow) -> tuple[int, int]:
        return self._given[flow.caller], flow.steps


def _within_share(advancing: list[Ticket], share: int) -> tuple[list[Ticket], list[Ticket]]:
    """The rows that stay where no caller has more than a share of the places, and the others: who came last."""
    held: Counter[str] = Counter()
    staying = set()
    for ticket in sorted(advancing, key=lambda ticket: ticket.stay, reverse=True):
        if held[ticket.flow.caller] < share:
            held[ticket.flow.caller] += 1
            staying.add(ticket)
    return [each for each in advancing if each in staying], [each for each in advancing if each not in staying]
