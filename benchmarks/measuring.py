"""What every benchmark says of its timings and of the machine, and where it writes them."""

import json
import platform
import statistics
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path


def quartiles(values: list[float]) -> tuple[float, float]:
    """First and third."""
    first, _, third = statistics.quantiles(values, n=4)
    return first, third


def cpu_model() -> str:
    """What the processor calls itself."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def versions(*libraries: str) -> str:
    """Of Python and of these libraries, in a line."""
    return ", ".join([f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in libraries)])


def write_results(out: Path, name: str, report: Mapping[str, object], page: str) -> None:
    """Write NAME.json and NAME.md into a folder, made if need be, and print the page."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (out / f"{name}.md").write_text(page, encoding="utf-8")
    print(page)
