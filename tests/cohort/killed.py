"""A run that kills itself at a moment of its way: python -m tests.cohort.killed MOMENT SOURCE OUT OPTION..."""

import sys
from typing import Any

from tests.killing import AFTER, BEFORE, kill_at

from medxgan.cohort import durable, run_folder
from medxgan.cohort.manifest import Run
from medxgan.cohort.map_store import MapStore
from medxgan.cohort.part_explainer import PartExplainer
from medxgan.cohort.run_folder import RunFolder

MOMENTS: dict[str, tuple[Any, str, str, int | str]] = {
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


if __name__ == "__main__":
    kill_at(*MOMENTS[sys.argv[1]])
    sys.argv = ["medxgan", "cohort", sys.argv[2], "--out", *sys.argv[3:]]
    from medxgan.client.command import main

    main()
