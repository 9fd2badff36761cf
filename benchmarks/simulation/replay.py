"""The open loop of `load.py` once more, in the simulation: a check against what a quiet machine was measured to do."""

from typing import Any

import numpy as np

from simulation.arrivals import Arrivals
from simulation.calibration import Calibration
from simulation.check import Checked
from simulation.fleet import Fleet, simulate
from simulation.server import ServerPolicy


def replay(report: dict[str, Any], calibration: Calibration, target: str, copies: int) -> list[Checked]:
    """Simulate the very arrivals that `load.py` planned, which it draws from a fixed seed.

    Args:
        report: load-NAME.json.
        calibration: of the same kind of machine and the same bundle.
        target: the server's name there, with one thread for each copy.
        copies: of the model.
    """
    own = [each for each in report["measured"] if each["target"] == target]
    best = max(each["per_second"] for each in own if each["load"].endswith("callers"))
    found = []
    for each in own:
        if not each["load"].endswith("of capacity"):
            continue
        share = float(each["load"].partition("%")[0]) / 100
        gaps = np.random.default_rng(0).exponential(1 / (share * best), each["answered"] - 1)
        arrivals = Arrivals.at(np.concatenate([[0.0], np.cumsum(gaps)]))
        outcome = simulate(Fleet(1, ServerPolicy(copies, maximum_waiting=None)), calibration, arrivals)
        measured = each["p50"], each["p95"], each["p99"]
        p50, p95, p99 = (1000 * seconds for seconds in outcome.percentiles(50, 95, 99))
        found.append(Checked(copies, share, each["answered"], measured, (p50, p95, p99), None))
    return found
