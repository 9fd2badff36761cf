"""The server's side of its processes: the one that forks workers, and each worker."""

import asyncio
import contextlib
import json
import mmap
import os
import signal
import socket
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import medxgan
from medxgan.server.images.film import Film
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.reduction import Reduction
from medxgan.server.images.sent import SentImage
from medxgan.server.images.workers import messages

_ENDED = "it ended"
_BOOTSTRAP = """
import json, sys
sys.path += [entry for entry in json.loads(sys.argv[3]) if entry not in sys.path]
from medxgan.server.images.workers.program import main
main(int(sys.argv[1]), sys.argv[2])
"""
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_LARGE_BYTES = 2**20
"""Files above this size are copied off the event loop."""


@dataclass(frozen=True)
class WorkerLimits:
    """What a worker may take.

    Attributes:
        limits: the largest image taken.
        memory_bytes: most bytes of private memory.
        cpu_seconds: most seconds of computing.
        shared_bytes: size of the memory shared with the server: the file, and the levels made of it.
    """

    limits: ImageLimits
    memory_bytes: int
    cpu_seconds: int
    shared_bytes: int


class Worker:
    """A process that decodes one file.

    Args:
        shared: memory shared with it.
        channel: socket to it.
        limits: what it may take.
    """

    def __init__(self, shared: mmap.mmap, channel: socket.socket, limits: WorkerLimits) -> None:
        self._shared = shared
        self._channel = channel
        self._limits = limits
        self._process: int | None = None
        self._handle: int | None = None

    async def ready(self) -> None:
        """Wait until it is.

        Raises:
            WorkerFailureError: it ended instead.
        """
        line = await self._receive()
        try:
            self._process = messages.ready_process(line)
        except (KeyError, TypeError, ValueError) as error:
            raise messages.WorkerFailureError("it did not start") from error
        with contextlib.suppress(AttributeError, OSError):  # not on every system
            self._handle = os.pidfd_open(self._process)

    async def decode(self, sent: SentImage, reduction: Reduction | None) -> Film:
        """Decode a file, which is taken and held here no longer than it takes to hand it over.

        Raises:
            MedxganError: as `decode_file`.
            WorkerFailureError: it ended, or could not go on.
        """
        if sent.size > _LARGE_BYTES:
            await asyncio.to_thread(self._put, sent)
        else:
            self._put(sent)
        await self._send(messages.Job(sent.form, sent.size, sent.frame, sent.spacing, reduction).line())
        film = messages.described_film(await self._receive(), self._limits.limits.maximum_pixels)
        height, width = film.levels.shape
        offset = messages.levels_offset(sent.size)
        levels = np.frombuffer(self._shared, np.float32, height * width, offset).reshape(height, width)
        if film.reduced is not None:
            levels = levels.copy()  # small; the shared memory can go
        return replace(film, levels=levels)

    @property
    def alive(self) -> bool:
        """Whether it has not ended while it waited for its file."""
        try:
            return bool(self._channel.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def end(self) -> None:
        """End the process at once, whatever it does."""
        self._channel.close()
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self._handle is None:
                os.kill(self._process, signal.SIGKILL)
            else:  # never another process that has its number by now
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        self._process = None
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _put(self, sent: SentImage) -> None:
        place = np.frombuffer(self._shared, np.uint8, sent.size)
        place[:] = np.frombuffer(sent.take(), np.uint8)

    async def _send(self, line: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self._channel, line)
        except OSError:
            raise messages.WorkerFailureError(_ENDED) from None

    async def _receive(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            try:
                part = await asyncio.get_running_loop().sock_recv(self._channel, messages.LONGEST_ANSWER)
            except OSError:
                part = b""
            line += part
            if not part or len(line) > messages.LONGEST_ANSWER:
                raise messages.WorkerFailureError(_ENDED)
        return line


class ForkServer:
    """The process that workers are forked from.

    Args:
        limits: what each of them may take.
    """

    def __init__(self, limits: WorkerLimits) -> None:
        self._limits = limits
        self._control: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._restarting = asyncio.Lock()

    async def start(self) -> None:
        """Start the process, unless it has been.

        It never looks for modules in the working directory or where the environment says.
        """
        if self._process is not None:
            return
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-c",
                _BOOTSTRAP,
                str(theirs.fileno()),
                json.dumps(asdict(self._limits)),
                json.dumps(_import_path()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                cwd="/",
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | _ONE_THREAD,
            )
        finally:
            theirs.close()
        ours.setblocking(False)
        self._control = ours

    def fork(self) -> Worker:
        """Ask for a worker; it is ready a little later.

        Raises:
            WorkerFailureError: the process is gone.
        """
        if self._control is None:
            raise messages.WorkerFailureError(_ENDED)
        shared_file = _shared_file(self._limits.shared_bytes)
        ours, theirs = socket.socketpair()
        try:
            shared = mmap.mmap(shared_file, self._limits.shared_bytes)
            socket.send_fds(self._control, [messages.FORK], [theirs.fileno(), shared_file])
        except OSError as error:
            ours.close()
            raise messages.WorkerFailureError(_ENDED) from error
        finally:
            theirs.close()
            os.close(shared_file)
        ours.setblocking(False)
        return Worker(shared, ours, self._limits)

    async def restart(self) -> None:
        """Start the process anew where it has ended."""
        async with self._restarting:
            if self._process is None or self._process.returncode is not None:
                await self.stop()
                await self.start()

    async def stop(self) -> None:
        """End the process, and with it every worker."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None


def _shared_file(size: int) -> int:
    """Descriptor of memory that takes room as it is written to."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("film")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def _import_path() -> list[str]:
    """Where this process imports from, without the working directory unless medxgan itself is installed there."""
    here = Path.cwd().resolve()
    installed = {Path(portion).resolve().parent for portion in medxgan.__path__}
    return [
        entry
        for entry in sys.path
        if Path(entry).is_absolute() and (Path(entry).resolve() != here or here in installed)
    ]
