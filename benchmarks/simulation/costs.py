"""What explanations cost: servers' time, and its price, which whoever reads the figures puts in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Of one run.

    Attributes:
        answered: explanations.
        core_seconds: of all servers from their start to their end, idle or not: what is paid for.
        busy_seconds: of these, those in which a device thread worked.
    """

    answered: int
    core_seconds: float
    busy_seconds: float

    @property
    def core_seconds_each(self) -> float:
        """Of one explanation."""
        return self.core_seconds / self.answered

    @property
    def utilisation(self) -> float:
        """Share of the paid time in which a device thread worked, in [0, 1]."""
        return self.busy_seconds / self.core_seconds


def of_thousand(core_seconds_each: float, price: float) -> float:
    """What a thousand explanations cost at a price of one core for an hour, in its currency."""
    return 1000 * core_seconds_each * price / 3600
