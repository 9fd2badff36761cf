"""`medxgan serve` as a process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("medxgan")


@contextmanager
def serve_process(
    models: Path, *options: object, terminal: bool = True
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The process, on a free port, and the line of its log by which it says where it serves. Its end is the test's to
    bring about.

    Args:
        models: folder of the models.
        options: further ones.
        terminal: whether it shares the terminal of the tests, if there is one.
    """
    arguments = ["serve", "--models", models, "--address", "127.0.0.1:0", "--log-format", "json", *options]
    with subprocess.Popen(
        [COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, text=True, start_new_session=not terminal
    ) as process:
        try:
            assert process.stderr is not None
            yield process, next(line for line in map(json.loads, process.stderr) if line["event"] == "serving")
        finally:
            process.kill()
