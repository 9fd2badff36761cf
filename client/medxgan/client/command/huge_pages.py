"""Huge pages of memory for a server, which only the start of its process can ask for.

A request of 57 MB is copied on its way into Python, and nobody else is served meanwhile. With pages of 4 KB, three
quarters of that time go into the system's handing out of pages: 80 ms instead of 30 (docs/reliability.md).
"""

import os
import sys
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
_WANTED = "glibc.malloc.hugetlb=1"
_SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def start_with_huge_pages() -> None:
    """Start this process anew, by the same command and number, with an allocator that asks for huge pages.

    Nothing happens where the operator tunes the allocator himself, where it was started so already, and where there is
    no allocator or kernel that could be asked. To be called first of all: what was imported is imported again.
    """
    if VARIABLE in os.environ or not _can_be_asked():
        return
    os.environ[VARIABLE] = _WANTED
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the command that runs already


def _can_be_asked() -> bool:
    try:
        return "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "") and "[madvise]" in _SWITCH.read_text()
    except (AttributeError, OSError, ValueError):  # another system
        return False
