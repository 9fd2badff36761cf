"""How figures stand in the report's text: tables, intervals, names, pictures."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MISSING = "n/a"


def picture_link(pictures: Sequence[str], name: str) -> list[str]:
    """A line that shows a picture, where it was drawn."""
    return [f"![{name.removesuffix('.png')}]({name})"] if name in pictures else []


def interval(estimate: Mapping[str, Any]) -> str:
    """An estimate with its interval in brackets, where it has one."""
    value = number(estimate["value"])
    if estimate["low"] is None:
        return value
    return f"{value} [{number(estimate['low'])}, {number(estimate['high'])}]"


def interval_or_missing(estimate: Mapping[str, Any] | None) -> str:
    """The same, or "n/a"."""
    return MISSING if estimate is None else interval(estimate)


def number(value: float) -> str:
    """As many digits as a table has room for."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.4f}"


def bold(text: str, wanted: bool) -> str:
    """The text, in bold where wanted."""
    return f"**{text}**" if wanted else text


def spoken_name(name: str) -> str:
    """The name of a method as it stands in a text."""
    return name.replace("_", " ")


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
