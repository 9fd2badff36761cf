"""What a worker process gives up before it sees its file.

A limit of no file descriptors keeps a process from opening any file, socket or pipe, by POSIX alone and for good; what
it holds already (a socket to the server, the shared memory) stays. A filter of system calls is not set, since no kept
library for one is everywhere: a worker that was taken over could still send signals to processes of its own user,
which is nobody where the server runs as root.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from functools import partial

_NOBODY = 65534
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_NICENESS = 5


def drop_privileges() -> None:
    """Become nobody where root started it and may, gain no privileges any more, and end with the parent."""
    if os.geteuid() == 0:
        for give_up in (partial(os.setgroups, []), partial(os.setgid, _NOBODY), partial(os.setuid, _NOBODY)):
            with contextlib.suppress(OSError):  # a container may leave root too little for one of them
                give_up()
    end_with_parent()
    if sys.platform == "linux":
        _control(_PR_SET_DUMPABLE, 0)
        _control(_PR_SET_NO_NEW_PRIVS, 1)


def end_with_parent() -> None:
    """No worker outlives its server. To be asked for anew after a fork."""
    if sys.platform == "linux":
        _control(_PR_SET_PDEATHSIG, signal.SIGKILL)


def confine(memory_bytes: int, cpu_seconds: int) -> None:
    """Give up whatever decoding does without. Everything that is imported later fails.

    Args:
        memory_bytes: most bytes of private memory.
        cpu_seconds: most seconds of computing; the process is ended after that.
    """
    os.nice(_NICENESS)
    limit_cpu(cpu_seconds)
    _limit(resource.RLIMIT_DATA, memory_bytes)
    if sys.platform != "linux":  # elsewhere RLIMIT_DATA leaves mapped memory out
        _limit(resource.RLIMIT_AS, memory_bytes)
    for what in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE):
        _limit(what, 0)


def limit_cpu(seconds: int) -> None:
    """End the process after so many seconds of computing since its start. It can be shortened and not prolonged."""
    _limit(resource.RLIMIT_CPU, seconds)


def _limit(what: int, value: int) -> None:
    resource.setrlimit(what, (value, value))


def _control(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, int(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")
