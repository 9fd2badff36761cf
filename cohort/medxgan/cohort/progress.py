"""A run's progress on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from medxgan.cohort.part_explainer import Tell

WINDOW = 120.0
"""Seconds that the rate is taken over."""


class _Rate(ProgressColumn):
    """Films a second, of late."""

    def render(self, task: Task) -> Text:
        """The rate; nothing before there is one."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} films/s")


@contextmanager
def progress(console: Console, films: int, done: int) -> Iterator[Tell]:
    """A bar with rate and time left; gives what counts a film.

    Args:
        console: on which it is shown, if it is a terminal.
        films: number of films.
        done: number of those that were explained before.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TextColumn("{task.fields[failed]} errors"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, speed_estimate_period=WINDOW) as bar:
        task = bar.add_task("films", total=films, completed=done, failed=0)
        failed = 0

        def tell(explained: bool) -> None:
            nonlocal failed
            failed += not explained
            bar.update(task, advance=1, failed=failed)

        yield tell
