"""Markdown and numbers, written the same way all over the card."""

from collections.abc import Iterable, Sequence


def section(title: str, text: str) -> str:
    """Text under a heading of the second level."""
    return f"## {title}\n\n{text}"


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def box(text: str) -> str:
    """A block quote."""
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar in a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def number(value: float) -> str:
    """Four significant digits: fields of 32 bits don't show their rounding."""
    return f"{value:.4g}"


def interval(minimum: float, maximum: float) -> str:
    """A closed interval."""
    return f"{number(minimum)} to {number(maximum)}"


def percent(share: float) -> str:
    """A share, 0 to 1, in a table: "83.3 %"."""
    return f"{100 * share:.3g} %"


def of_hundred(share: float) -> str:
    """A share, 0 to 1, as a whole number of a hundred; rounding makes none of it, or all, of what is not."""
    rounded = round(100 * share)
    if rounded == 0 and share > 0:
        return "fewer than 1"
    if rounded == 100 and share < 1:
        return "more than 99"
    return str(rounded)


def only(share: float) -> str:
    """As `of_hundred`; less than half is said to be little."""
    return of_hundred(share) if share >= 0.5 else f"only {of_hundred(share)}"
