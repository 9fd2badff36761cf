"""What every benchmark says of its timings and of the machine, and where it writes them."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medxgan.training.data.source import DataConfig


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


def data_name(data: "DataConfig") -> str:
    """What a report calls the images: the file's name, else the kind."""
    return data.path.stem if data.kind == "npz" else data.kind


def versions(*libraries: str) -> str:
    """Of Python and of these libraries, in a line."""
    return ", ".join([f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in libraries)])


def conditions(threads: int, *libraries: str, folders: Mapping[Path, str] | None = None) -> dict[str, object]:
    """What a report says of its command and machine.

    Args:
        threads: within an operator.
        libraries: whose versions count.
        folders: of this machine, by what stands for them in the command.
    """
    named = {str(folder): name for folder, name in (folders or {}).items()}
    arguments = [named.get(argument, argument) for argument in sys.argv[1:]]
    return {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments]),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_average": os.getloadavg()[0],
        "versions": versions(*libraries),
    }


def machine(report: Mapping[str, object]) -> str:
    """The machine of `conditions` in a line."""
    return (
        f"{report['cpu']}, {report['cores']} cores, {report['threads']} threads; load average at the end "
        f"{report['load_average']:.1f}; {report['versions']}"
    )


def processor_seconds(process: int) -> float:
    """Processor time of a process and of those that it started."""
    tick, total = os.sysconf("SC_CLK_TCK"), 0.0
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        spent[int(folder.name)] = (int(fields[11]) + int(fields[12])) / tick
    for each in spent:
        above = each
        while above not in (process, 0) and above in parents:
            above = parents[above]
        total += spent[each] if above == process else 0
    return total


def busy_seconds() -> float:
    """Processor time that the machine has spent on anything, in all of its cores together (Linux)."""
    user, nice, system, _, _, *others = Path("/proc/stat").read_text(encoding="utf-8").split(maxsplit=9)[1:9]
    return sum(map(int, (user, nice, system, *others))) / os.sysconf("SC_CLK_TCK")


def write_results(out: Path, name: str, report: Mapping[str, object], page: str) -> None:
    """Write NAME.json and NAME.md into a folder, made if need be, and print the page."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (out / f"{name}.md").write_text(page, encoding="utf-8")
    print(page)
