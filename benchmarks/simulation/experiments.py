"""What is simulated: one function a question, each giving the rows of a table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from simulation.arrivals import Arrivals, bursts, by_profile, day_of, poisson
from simulation.autoscaling import KUBERNETES, RAY_SERVE, AutoscalingPolicy
from simulation.balancing import Balancing
from simulation.calibration import Calibration
from simulation.check import capacity
from simulation.costs import of_thousand
from simulation.fleet import Fleet, Outcome, simulate
from simulation.server import ServerPolicy

BOUNDLESS = ServerPolicy(maximum_waiting=None)
"""Two copies and no bound on what waits: every request is answered, and late is seen as late."""

WARM_UP = 0.2
"""Share of the requests that come before the fleet is as it stays."""

COPIES = (2, 20, 200, 1000)
SHARES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
MANY = 5
"""Times as many requests for 1,000 copies, where each would else have few, and in bursts, which are rare."""

BURST_RATES = (0.5, 3.0)
BURST_DWELLS = (480.0, 120.0)
"""Seconds at each rate, on average: eight minutes of little and two of six times as much, as when lists are worked off
and their films sent together. **Assumed**, like the rates, which are relative to one another."""

URGENT_SHARE = 0.1
BATCHES = (1, 2, 4, 8, 16)
FREE_SHARES = (0.0, 0.5, 0.8, 0.95)
MORNING = 8
"""Hour of the assumed day about which autoscaling is tried: half an hour before it and half an hour after it."""

Row = dict[str, str | float]


@dataclass(frozen=True)
class Study:
    """What all experiments share.

    Attributes:
        calibration: what the parts of an explanation take.
        requests: in each run, about.
        seed: of everything that is left to chance.
    """

    calibration: Calibration
    requests: int
    seed: int = 0

    @property
    def of_server(self) -> float:
        """Explanations a second of a server with two copies."""
        return capacity(self.calibration, BOUNDLESS)

    def random(self) -> np.random.Generator:
        """The same numbers for every run: what is compared meets with the same chance."""
        return np.random.default_rng(self.seed)

    def run(self, fleet: Fleet, arrivals: Arrivals) -> Outcome:
        """Simulate."""
        return simulate(fleet, self.calibration, arrivals, self.seed)


def under_load(study: Study) -> list[Row]:
    """Latency by the share of capacity, for fleets of 2 to 1,000 copies."""
    rows: list[Row] = []
    for copies in COPIES:
        servers = copies // BOUNDLESS.copies
        count = study.requests * (MANY if copies == max(COPIES) else 1)
        for share in SHARES:
            outcome = study.run(
                Fleet(servers, BOUNDLESS), poisson(share * servers * study.of_server, count, study.random())
            )
            rows.append({"copies": copies, "share": share, **_latencies(outcome), **_cost(outcome)})
    return rows


def balanced(study: Study, servers: int = 50) -> list[Row]:
    """Latency by the rule that a request's server is chosen by."""
    rows: list[Row] = []
    for rule in Balancing:
        for share in SHARES[2:]:
            arrivals = poisson(share * servers * study.of_server, study.requests, study.random())
            outcome = study.run(Fleet(servers, BOUNDLESS, rule), arrivals)
            rows.append({"rule": rule.value, "share": share, **_latencies(outcome)})
    return rows


def in_bursts(study: Study) -> list[Row]:
    """Latency of one server by the share of its capacity that is asked for on average: evenly, and in bursts."""
    rows: list[Row] = []
    weights = np.array(BURST_DWELLS) / sum(BURST_DWELLS)
    mean = float(weights @ BURST_RATES)
    for share in SHARES:
        rate = share * study.of_server
        rates = [rate * each / mean for each in BURST_RATES]
        for name, arrivals in (
            ("by chance", poisson(rate, study.requests, study.random())),
            ("in bursts", bursts(rates, BURST_DWELLS, MANY * study.requests, study.random())),
        ):
            outcome = study.run(Fleet(1, BOUNDLESS), arrivals)
            rows.append({"arrivals": name, "share": share, **_latencies(outcome)})
    return rows


def with_priorities(study: Study) -> list[Row]:
    """Latency of urgent requests and of the others, on one server, and of all where none are."""
    rows: list[Row] = []
    for share in SHARES[1:]:
        random = study.random()
        routine = poisson(share * study.of_server, study.requests, random)
        mixed = study.run(Fleet(1, BOUNDLESS), routine.with_urgent(URGENT_SHARE, random))
        alike = study.run(Fleet(1, BOUNDLESS), routine)
        for name, outcome, urgent in (("STAT", mixed, True), ("ROUTINE", mixed, False), ("all alike", alike, None)):
            rows.append({"requests": name, "share": share, **_latencies(outcome, urgent)})
    return rows


def by_batch(study: Study) -> list[Row]:
    """Capacity and latency of one server by its largest batch; the rates are shares of the largest capacity."""
    best = max(capacity(study.calibration, ServerPolicy(maximum_rows=rows)) for rows in BATCHES)
    table: list[Row] = []
    for largest in BATCHES:
        policy = replace(BOUNDLESS, maximum_rows=largest)
        row: Row = {"batch": largest, "per_second": capacity(study.calibration, policy)}
        for share in (0.5, 0.7, 0.9):
            outcome = study.run(Fleet(1, policy), poisson(share * best, study.requests, study.random()))
            row |= {f"{name} at {share:.0%}": value for name, value in _latencies(outcome).items()}
        table.append(row)
    return table


def by_free_share(study: Study) -> list[Row]:
    """Capacity by batch on assumed devices, where a share of a step costs the same whatever the batch.

    OPEN, CLOSE and all beside the engine stay as they were measured, and are not batched.
    """
    alone = study.calibration.step[0]
    table: list[Row] = []
    for free in FREE_SHARES:
        steps = tuple(alone * (free + (1 - free) * rows) for rows in study.calibration.rows)
        device = study.calibration.model_copy(update={"step": steps})
        per_batch = {str(rows): capacity(device, ServerPolicy(maximum_rows=rows)) for rows in BATCHES}
        table.append({"free": free, **{f"batch {rows}": value for rows, value in per_batch.items()}})
    return table


def autoscaled(study: Study, films: float) -> list[Row]:
    """An hour of the assumed day under autoscalers, and under fleets that stay as they are.

    Those that change begin as large as the first half hour needs at the least.
    """
    hours = day_of(films)
    before, after = (hours[hour] / 3600 / study.of_server for hour in (MORNING - 1, MORNING))
    arrivals = by_profile([hours[MORNING - 1] / 2, hours[MORNING] / 2], 1800.0, study.random())
    start = study.calibration.start
    policies: dict[str, AutoscalingPolicy | None] = {
        "none, for the first half hour": None,
        "none, for the second, and a fifth": None,
        "Ray Serve's defaults, 2 under way": replace(RAY_SERVE, start_delay=30 + start),
        "Ray Serve, 4 under way": replace(RAY_SERVE, target=4.0, start_delay=30 + start),
        "Ray Serve, 4 under way, up at once": replace(RAY_SERVE, target=4.0, up_delay=0.0, start_delay=30 + start),
        "Ray Serve, 4 under way, 300 s to start": replace(RAY_SERVE, target=4.0, start_delay=300 + start),
        "our HPA, 2 under way": replace(KUBERNETES, start_delay=30 + start),
        "an HPA, 16 under way": replace(KUBERNETES, target=16.0, start_delay=30 + start),
    }
    rows: list[Row] = []
    for name, policy in policies.items():
        servers = math.ceil(1.2 * after) if "fifth" in name else math.ceil(before)
        if policy is not None:
            servers = max(servers, policy.minimum)
        outcome = study.run(Fleet(servers, ServerPolicy(), Balancing.POWER_OF_TWO, policy), arrivals)
        most = max(number for _, number in outcome.servers)
        rows.append(
            {"policy": name, "most_servers": most, "refused": outcome.refused, **_latencies(outcome), **_cost(outcome)}
        )
    return rows


def servers_for(study: Study, rate: float, p95: float) -> tuple[int, Outcome]:
    """The fewest servers that answer 95 % of the requests within `p95` seconds, and how they do."""
    servers = max(1, math.ceil(rate / study.of_server))
    while True:
        outcome = study.run(Fleet(servers, BOUNDLESS), poisson(rate, study.requests, study.random()))
        if outcome.percentiles(95, warm_up=WARM_UP)[0] <= p95:
            return servers, outcome
        servers += 1


def planned(study: Study, films: float, p95: float) -> list[Row]:
    """Servers with two copies for a day of so many films: at the mean, at the peak hour and hour by hour."""
    hours = [films_of_hour / 3600 for films_of_hour in day_of(films)]
    rates = {"mean": films / 86_400, "peak hour": max(hours), "twice the peak hour": 2 * max(hours)}
    rows: list[Row] = []
    for name, rate in rates.items():
        servers, outcome = servers_for(study, rate, p95)
        rows.append({"when": name, "per_second": rate, "servers": servers, **_latencies(outcome), **_cost(outcome)})
    by_rate = {rate: servers_for(study, rate, p95)[0] for rate in set(hours)}
    always = next(float(row["servers"]) for row in rows if row["when"] == "peak hour")
    for name, server_hours in (
        ("all day as at the peak hour", 24 * always),
        ("hour by hour", sum(by_rate[rate] for rate in hours)),
    ):
        each = server_hours * 3600 * BOUNDLESS.copies / films
        rows.append({"when": name, "servers": server_hours / 24, "core_seconds_each": each})
    return rows


def price_table(core_seconds_each: float, prices: Sequence[float]) -> list[Row]:
    """What a thousand explanations cost at a price of one core for an hour."""
    return [{"price": price, "thousand": of_thousand(core_seconds_each, price)} for price in prices]


def _latencies(outcome: Outcome, urgent: bool | None = None) -> Row:
    p50, p95, p99 = outcome.percentiles(50, 95, 99, urgent=urgent, warm_up=WARM_UP)
    return {"p50": p50, "p95": p95, "p99": p99}


def _cost(outcome: Outcome) -> Row:
    return {"core_seconds_each": outcome.cost.core_seconds_each, "utilisation": outcome.cost.utilisation}
