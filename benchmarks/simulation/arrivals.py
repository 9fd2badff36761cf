"""When requests come: by chance, in bursts, and by the hours of a day. All of it drawn at once, in numpy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

DAY = 86_400.0
"""Seconds."""


@dataclass(frozen=True)
class Arrivals:
    """Requests, in the order in which they come.

    Attributes:
        times: [N] seconds, rising.
        urgent: [N] whether STAT, else ROUTINE.
        callers: [N] who asks, by number.
        steps: [N] gradient steps; 0 for the model's default.
    """

    times: NDArray[np.float64]
    urgent: NDArray[np.bool_]
    callers: NDArray[np.int64]
    steps: NDArray[np.int64]

    @classmethod
    def at(cls, times: NDArray[np.float64]) -> "Arrivals":
        """Routine requests of one caller at these times, with the default steps."""
        ordered = np.sort(np.asarray(times, np.float64))
        zeros = np.zeros(len(ordered), np.int64)
        return cls(ordered, zeros.astype(bool), zeros, zeros)

    def __len__(self) -> int:
        return len(self.times)

    def with_urgent(self, share: float, random: np.random.Generator) -> "Arrivals":
        """The same, each urgent with this probability."""
        return replace(self, urgent=random.random(len(self)) < share)

    def with_callers(self, callers: int, random: np.random.Generator) -> "Arrivals":
        """The same, each of one of so many callers."""
        return replace(self, callers=random.integers(callers, size=len(self)))

    def with_steps(self, steps: NDArray[np.int64]) -> "Arrivals":
        """The same with these steps, [N]."""
        return replace(self, steps=np.asarray(steps, np.int64))


def poisson(rate: float, count: int, random: np.random.Generator) -> Arrivals:
    """`count` requests by chance, `rate` a second on average."""
    return Arrivals.at(np.cumsum(random.exponential(1 / rate, count)))


def bursts(rates: Sequence[float], dwells: Sequence[float], count: int, random: np.random.Generator) -> Arrivals:
    """A Markov-modulated Poisson process: `count` requests at a rate that jumps between states in turn.

    Args:
        rates: a second, in each state; at least one is above 0.
        dwells: mean seconds in each state.
        count: of requests.
        random: draws them.
    """
    times: list[NDArray[np.float64]] = []
    began, state, found = 0.0, 0, 0
    while found < count:
        lasts = random.exponential(dwells[state])
        times.append(began + random.uniform(0, lasts, random.poisson(rates[state] * lasts)))
        began, state, found = began + lasts, (state + 1) % len(rates), found + len(times[-1])
    return Arrivals.at(np.sort(np.concatenate(times))[:count])


def by_profile(per_period: Sequence[float], period: float, random: np.random.Generator) -> Arrivals:
    """A Poisson process whose rate changes from period to period.

    Args:
        per_period: requests expected in each period.
        period: seconds of one.
        random: draws them.
    """
    counts = random.poisson(np.asarray(per_period, np.float64))
    starts = np.repeat(np.arange(len(counts)) * period, counts)
    return Arrivals.at(starts + random.uniform(0, period, counts.sum()))


ASSUMED_DAY = (
    *(0.8, 0.7, 0.6, 0.6, 0.7, 1.2),
    *(2.5, 5.5, 9.0, 10.0, 9.5, 8.0),
    *(7.0, 7.5, 7.5, 6.5, 5.5, 4.0),
    *(3.0, 2.5, 2.2, 2.0, 1.7, 1.5),
)
"""Share of a day's films in each of its 24 hours, in percent. **Assumed**: nobody's statistics. Wards and clinics in
the morning, a second wave after noon, an emergency department by night. The peak hour has 2.4 times the mean."""


def day_of(films: float, profile: Sequence[float] = ASSUMED_DAY) -> list[float]:
    """Films in each period of a day, by a profile of any unit."""
    return [films * share / sum(profile) for share in profile]
