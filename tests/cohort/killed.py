"""A run that kills itself at a moment of its way: python -m tests.cohort.killed MOMENT SOURCE OUT OPTION..."""

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from medxgan.cohort import durable, run_folder
from medxgan.cohort.manifest import Run
from medxgan.cohort.map_store import MapStore
from medxgan.cohort.part_explainer import PartExplainer
from medxgan.cohort.run_folder import RunFolder

BEFORE, AFTER = "before", "after"

MOMENTS: dict[str, tuple[Any, str, str, int]] = {
    "while the films are listed": (run_folder, "write_films", BEFORE, 1),
    "between the list and the maps": (run_folder, "create_store", BEFORE, 1),
    "before it is written what the run began with": (Run, "write", BEFORE, 1),
    "before the first film": (Run, "write", AFTER, 1),
    "amid the films of a part": (PartExplainer, "_explain_film", BEFORE, 6),
    "before the maps of a part": (MapStore, "write", BEFORE, 2),
    "between the maps of a part and its rows": (MapStore, "write", AFTER, 2),
    "before the rows have their name": (durable, "synchronise", BEFORE, "rows"),
    "once a part is done": (RunFolder, "finish_part", AFTER, 2),
    "before the report": (RunFolder, "finish_part", AFTER, 4),
}
"""Who has a function, its name, the side of it, and at which of its calls; for files, where the file is."""


def kill_at(moment: str) -> None:
    """Have this process end as by a power cut, with no chance to do anything more."""
    owner, name, side, which = MOMENTS[moment]
    function: Callable[..., Any] = getattr(owner, name)
    calls = iter(range(1, 1_000_000))

    @functools.wraps(function)
    def killing(*arguments: Any, **options: Any) -> Any:
        is_it = arguments[0].parent.name == which if isinstance(which, str) else next(calls) == which
        if is_it and side == BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if is_it:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, killing)


if __name__ == "__main__":
    kill_at(sys.argv[1])
    sys.argv = ["medxgan", "cohort", sys.argv[2], "--out", *sys.argv[3:]]
    from medxgan.client.command import main

    main()
