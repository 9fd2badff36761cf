"""What a server does while callers, its engine and its operator do their worst, in figures.

    python benchmarks/chaos.py [--seconds 60] [--soak-seconds 600] [--only NAME ...]

Real servers on loopback with the shipped phantom bundle, one for each scenario: ten times the load that it can answer,
a soak, clients that are killed, connections that say nothing, too many of them, callers who do not read, streams opened
and reset, passed deadlines, an engine that fails, SIGTERM and SIGKILL under load, and the tests of the attack surface.

Writes docs/chaos-figures.md. Everything is bounded: in number, in time, and to loopback. It takes some seven times
--seconds, and --soak-seconds beside that.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from chaos_attacks import attack_surface
from chaos_clients import dying, rapid_resets, silent, slow_readers, too_many
from chaos_engine import spoilt_engine
from chaos_load import ending, killing, overload, soak, storm
from chaos_page import Finding, page
from serving import ROOT

RESULTS = ROOT / "docs" / "chaos-figures.md"

SCENARIOS: Mapping[str, Callable[[float], list[Finding]]] = {
    "overload": overload,
    "soak": soak,
    "dying": dying,
    "silent": silent,
    "too-many": too_many,
    "slow-readers": slow_readers,
    "resets": rapid_resets,
    "storm": storm,
    "engine": spoilt_engine,
    "sigterm": ending,
    "sigkill": killing,
    "attacks": attack_surface,
}
"""By name; each takes the seconds that its load lasts, if it lasts."""


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of each load")
    parser.add_argument("--soak-seconds", type=float, default=600, help="of the soak")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, help="scenarios; then nothing is written")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the page")
    options = parser.parse_args()
    before, began, findings = os.getloadavg()[2], time.perf_counter(), list[Finding]()
    for name in options.only or SCENARIOS:
        for finding in SCENARIOS[name](options.soak_seconds if name == "soak" else options.seconds):
            print(finding.row(), flush=True)
            findings.append(finding)
    if options.only:
        return
    minutes = (time.perf_counter() - began) / 60
    notes = [
        f"{minutes:.0f} minutes in all. Who asks runs on the same machine, beside the server.",
        "A full batch is 8 callers, each asking again as soon as it is answered: what the server does at its best.",
        "The load averages are over a quarter of an hour; figures of a busy machine are its, not the server's.",
    ]
    options.out.write_text(page(findings, notes, (before, os.getloadavg()[2])), encoding="utf-8")
    failed = [finding for finding in findings if finding.holds is False]
    if failed:
        sys.exit(f"{len(failed)} of {len(findings)} aims are not met")


if __name__ == "__main__":
    main()
