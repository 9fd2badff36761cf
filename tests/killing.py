"""Processes that end as by a power cut, at a moment that a test chooses."""

import functools
import os
import signal
from collections.abc import Callable
from typing import Any

BEFORE, AFTER = "before", "after"


def kill_at(owner: Any, name: str, side: str, which: int | str) -> None:
    """Have this process end, with no chance to do anything more, at one of a function's calls.

    Args:
        owner: who has the function.
        name: of the function.
        side: of the call, `BEFORE` or `AFTER`.
        which: number of the call, from 1; or the folder of the file that is its first argument.
    """
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
