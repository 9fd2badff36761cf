"""The page of `chaos.py`: what was looked for and what was found."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring import cpu_model, versions


@dataclass(frozen=True)
class Finding:
    """One line of the page.

    Attributes:
        scenario: that it is of.
        aim: what is looked for.
        found: what was found.
        holds: whether the aim is met; None for what is only told.
    """

    scenario: str
    aim: str
    found: str
    holds: bool | None = None

    def row(self) -> str:
        """Of the table."""
        mark = {True: "yes", False: "**no**", None: ""}[self.holds]
        return f"| {self.scenario} | {self.aim} | {self.found} | {mark} |"


def page(findings: Sequence[Finding], notes: Sequence[str], load: tuple[float, float]) -> str:
    """The page.

    Args:
        findings: in order.
        notes: said before them.
        load: the load average before and after.
    """
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    lines = [
        "# Chaos, measured",
        "",
        "What a server does while callers, the engine and the operator do their worst: a real `medxgan serve` on "
        "loopback, the shipped phantom; inversions of the default 50 steps under overload, of 10 elsewhere. "
        "`make chaos` writes this page.",
        "",
        f"`{command}`, {cpu_model()}, {os.cpu_count()} cores; load average {load[0]:.1f} before, {load[1]:.1f} after; "
        f"{versions('grpcio', 'onnxruntime', 'numpy', 'h2')}.",
        "",
        *[f"- {note}" for note in notes],
        "",
        "| scenario | looked for | found | held |",
        "|---|---|---|---|",
        *[finding.row() for finding in findings],
    ]
    return "\n".join(lines) + "\n"
