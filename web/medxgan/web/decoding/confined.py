"""Decoding in a process of its own: a file that means harm, or needs too much, takes nothing of the room with it.

Each file has a process, forked from one that has loaded the libraries and has never seen a file. It gives up what it
does without before it sees its own: memory and computing time beyond a bound, other files, other processes. What it
says is JSON and levels, nothing that could run here. The server, which reads the file once more, confines in the same
way and in a room of its own.
"""

import asyncio
import contextlib
import json
import os
import resource
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np

from medxgan.web.decoding import Film, decode
from medxgan.web.decoding.small import small
from medxgan.web.errors import FilmError

AT_ONCE = 2
MEMORY_BYTES = 3 * 2**30
"""Of private memory: a film of 100 million pixels is decoded in less than half of it, with a palette or padding too."""
CPU_SECONDS = 60
WAIT_SECONDS = 120
"""After which a process that says nothing is ended."""

# Not the room's own modules alone: whatever is loaded later would have to be read from a file.
_LOADED = (
    "numpy.ma",  # by np.percentile
    "medxgan.web.decoding.confined",
    "medxgan.web.decoding.dicom",
    "medxgan.web.decoding.encoded",
    "medxgan.gateway.results.stored_values",
)
Decoder = Callable[..., Film]
DECODER: Decoder = decode
"""What runs in the process."""

_MOST_TOLD = 2**16
"""Bytes of what is said beside the levels."""
_KINDS = ("|u1", "<u2", ">u2")
"""Of levels, as numpy names them."""

_context = get_context("forkserver")
_context.set_forkserver_preload(list(_LOADED))
_places = threading.BoundedSemaphore(AT_ONCE)
# Threads of their own: films that wait for a place take none of what the room does besides.
_waiting = ThreadPoolExecutor(AT_ONCE, "film")
_starting = threading.Lock()


def prepare() -> None:
    """Load the libraries, so that the first film does not wait for them."""
    process = _context.Process(target=_nothing, daemon=True)
    _start(process)
    process.join()


def decode_confined(content: bytes, *, frame: int = 1, maximum_pixels: int, side: int = 0) -> Film:
    """Decode as `decode` does, in a process of its own; for a thread that may wait.

    Args:
        content: see `decode`.
        frame: see `decode`.
        maximum_pixels: see `decode`.
        side: rows and columns of a small picture that is wanted in place of the film; 0 for the film.

    Raises:
        FilmError: as `decode`, or the process was ended.
    """
    with _places:
        ours, theirs = _context.Pipe()
        process = _context.Process(target=_work, args=(theirs, DECODER, frame, maximum_pixels, side), daemon=True)
        # Its end ends whatever is waited for here, in the middle of a message too.
        patience = threading.Timer(WAIT_SECONDS, process.kill)
        _start(process)
        patience.start()
        try:
            theirs.close()
            ours.send_bytes(content)
            told = json.loads(ours.recv_bytes(_MOST_TOLD))
            if "error" in told:
                raise FilmError(str(told["error"]))
            shape, kind = told.pop("shape"), told.pop("kind")
            if kind not in _KINDS:
                raise ValueError(kind)
            levels = np.frombuffer(ours.recv_bytes(2 * maximum_pixels), np.dtype(kind)).reshape(shape)
            return Film(levels, **told)
        except (EOFError, LookupError, OSError, TypeError, ValueError) as error:
            raise FilmError("reading the file takes more memory or time than it may, or ends its reader") from error
        finally:
            ours.close()
            patience.cancel()
            patience.join()
            process.kill()
            process.join()
            process.close()


async def decoded(content: bytes, *, frame: int = 1, maximum_pixels: int) -> Film:
    """Decode as `decode_confined` does, from the event loop; who leaves before a place is free takes none.

    Raises:
        FilmError: as `decode_confined`.
    """
    reading = partial(decode_confined, content, frame=frame, maximum_pixels=maximum_pixels)
    return await asyncio.get_running_loop().run_in_executor(_waiting, reading)


def _start(process: BaseProcess) -> None:
    """Start a process that does not load the main module.

    Each would load it anew, be it the command or a script, for longer than it reads a film.
    """
    main = sys.modules["__main__"]
    with _starting:
        spec, file = main.__spec__, vars(main).pop("__file__", None)
        main.__spec__ = None
        try:
            process.start()
        finally:
            main.__spec__ = spec
            if file is not None:
                main.__file__ = file


def _nothing() -> None:
    """What a process does that is only there to have been started."""


def _work(channel: Connection, decode: Decoder, frame: int, maximum_pixels: int, side: int) -> None:
    for name in _LOADED:
        import_module(name)
    _confine()
    content = channel.recv_bytes()
    try:
        film = decode(content, frame=frame, maximum_pixels=maximum_pixels)
        film = small(film, side) if side else film
    except FilmError as error:
        channel.send_bytes(json.dumps({"error": str(error)}).encode())
        return
    levels = np.ascontiguousarray(film.levels)
    told = {each.name: getattr(film, each.name) for each in fields(film) if each.name != "levels"}
    channel.send_bytes(json.dumps({**told, "shape": levels.shape, "kind": levels.dtype.str}).encode())
    channel.send_bytes(levels.tobytes())


def _confine() -> None:
    """Give up whatever decoding does without.

    What is open already, the channel, stays; that no more may be opened keeps it from files and sockets for good.
    What libraries write on standard error may quote the file: it goes nowhere.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        os.dup2(nowhere, output)
    os.nice(5)
    limits = {resource.RLIMIT_CPU: CPU_SECONDS, resource.RLIMIT_DATA: MEMORY_BYTES}
    if sys.platform != "linux":  # elsewhere RLIMIT_DATA leaves mapped memory out
        limits[resource.RLIMIT_AS] = MEMORY_BYTES
    limits |= dict.fromkeys((resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC), 0)
    limits[resource.RLIMIT_NOFILE] = 0
    for what, value in limits.items():
        with contextlib.suppress(ValueError):  # a lower one holds already
            resource.setrlimit(what, (value, value))
