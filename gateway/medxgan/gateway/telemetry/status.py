"""The state of a gateway at a glance: for the status page, `medxgan gateway status`, and as JSON."""

from dataclasses import asdict, dataclass

from medxgan.gateway.clock import Clock
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.records import STUCK, State


@dataclass(frozen=True)
class Status:
    """Counts.

    Attributes:
        films: by state.
        reasons: of the films that are ignored, failed or dead, by state and reason.
        owed: films whose results wait, by destination.
        oldest_waiting_s: age of the film that has waited longest, in seconds; None where none waits.
    """

    films: dict[str, int]
    reasons: dict[str, dict[str, int]]
    owed: dict[str, int]
    oldest_waiting_s: float | None

    @classmethod
    def of(cls, journal: Journal, clock: Clock) -> "Status":
        """The state as it is now."""
        oldest = journal.oldest_waiting()
        return cls(
            films={state.value: count for state, count in journal.counts().items()},
            reasons={state.value: dict(journal.reasons(state)) for state in (State.IGNORED, *STUCK)},
            owed=dict(journal.owed_counts()),
            oldest_waiting_s=None if oldest is None else max(0.0, clock() - oldest),
        )

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a person."""
        lines = [f"{state:10} {count}" for state, count in self.films.items()]
        lines += [f"owed to {destination}: {count}" for destination, count in self.owed.items()]
        if self.oldest_waiting_s is not None:
            lines.append(f"the oldest has waited {self.oldest_waiting_s:.0f} s")
        for state, reasons in self.reasons.items():
            lines += [f"{state}: {count} {reason}" for reason, count in reasons.items()]
        return lines
