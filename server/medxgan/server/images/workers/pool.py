"""Decodes images off the event loop, each file in a process of its own that is limited and may be killed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from medxgan.server.errors import ImageError, ImageTooLargeError, StoppingError
from medxgan.server.images.decoding import decode_sent_tensor
from medxgan.server.images.film import Film
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.places import Places
from medxgan.server.images.reduction import Reduction, reduced
from medxgan.server.images.sent import SentImage
from medxgan.server.images.workers.messages import OUT_OF_MEMORY, WorkerFailureError
from medxgan.server.images.workers.process import ForkServer, Worker, WorkerLimits
from medxgan.server.log import get_logger
from medxgan.v1 import explanation_pb2

_log = get_logger(__name__)

_LARGE_TENSOR_BYTES = 2**20
"""Tensors above this size are decoded off the event loop."""
_SMALL_TENSORS = 16
"""Small tensors that are films at a time: a full batch must not wait for them to be opened two by two."""
_RETRY_SECONDS = 1.0
_START_SECONDS = 60.0
_SPARE = 1
"""Workers that stand ready beside those that may be at work, so that a file need not wait for a fork."""


class DecoderPool:
    """Decodes images. Used from one event loop, between `start` and `stop` or as a context manager.

    A tensor never waits for a file. Of files, `workers` are decoded at a time; the others wait, and callers take turns.
    An urgent image waits for urgent ones alone, of which one more is decoded at a time. Cancelling a task that awaits
    `decode` ends the process that decodes its file at once, and a fresh one takes its place.

    Args:
        limits: the largest image taken.
        workers: files decoded at a time, beside an urgent one, and films that exist at a time where `film` is used.
        memory_bytes: most bytes of private memory of a worker. A file whose decoding needs more is refused. Beside it
            a worker has the file and the film in shared memory, at most `maximum_file_bytes` and four bytes for each
            of `limits.maximum_pixels`.
        cpu_seconds: most seconds that a worker computes. Small files have less: 6, and one for each 2 MiB.
        seconds: most seconds from when a file is given to a worker until its film is there.
        maximum_file_bytes: most bytes of a file.
    """

    def __init__(
        self,
        limits: ImageLimits,
        *,
        workers: int = 2,
        memory_bytes: int = 2 * 2**30,
        cpu_seconds: int = 20,
        seconds: float = 30.0,
        maximum_file_bytes: int = 64 * 2**20,
    ) -> None:
        self._limits = limits
        self._workers = workers
        self._maximum_file_bytes = maximum_file_bytes
        self._seconds = seconds
        self._worker_limits = WorkerLimits(
            limits,
            memory_bytes,
            cpu_seconds,
            shared_bytes=maximum_file_bytes + 4 * limits.maximum_pixels + 4096,
        )
        self._fork_server = ForkServer(self._worker_limits)
        self._places = _and_an_urgent_one(workers)
        self._large_tensor_places = _and_an_urgent_one(workers)
        self._small_tensor_places = _and_an_urgent_one(_SMALL_TENSORS)
        self._ready: asyncio.Queue[Worker] = asyncio.Queue()
        self._starting: set[asyncio.Task[None]] = set()
        self._stopped = False

    async def begin(self) -> None:
        """Start the process that workers are forked from, and do not wait: what it imports takes it a while."""
        await self._fork_server.start()

    async def start(self) -> None:
        """Start the workers and wait until they are ready.

        Raises:
            WorkerFailureError: none could be started.
        """
        self._stopped = False
        await self._fork_server.start()
        try:
            async with asyncio.timeout(_START_SECONDS):
                for _ in range(self._workers + _SPARE):
                    self._ready.put_nowait(await self._fork())
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End all workers. A file that is being decoded is one that can't be any more."""
        self._stopped = True
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        while not self._ready.empty():
            self._ready.get_nowait().end()
        await self._fork_server.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def decode(self, image: explanation_pb2.Image) -> Film:
        """Decode an image.

        Raises:
            ImageError: if the image can't be read, naming the field and what was expected.
            ImageTooLargeError: if the image is over a limit.
            StoppingError: the pool has stopped.
            UnsupportedError: if this installation has no reader for the form.
        """
        async with self.film(SentImage.of(image)) as film:
            return film.in_single_precision()

    @contextlib.asynccontextmanager
    async def film(
        self,
        sent: SentImage,
        reduction: Reduction | None = None,
        caller: str = "",
        *,
        urgent: bool = False,
        on_turn: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[Film]:
        """Decode an image, and keep its place until the film is no longer needed.

        So no more than `workers` films of files, as many of large tensors, some of small ones and an urgent one of each
        kind exist at a time, however many requests wait.

        Args:
            sent: the image, whose bytes are taken.
            reduction: what to reduce the film to, where only that is wanted of it. A small tensor stays whole.
            caller: who sent it.
            urgent: whether it waits for urgent ones alone.
            on_turn: called when its turn has come.

        Raises:
            As `decode`.
        """
        sent.check()
        if sent.form == "tensor" and sent.size > _LARGE_TENSOR_BYTES:
            async with self._large_tensor_places[urgent].place(caller):
                on_turn()
                yield await asyncio.to_thread(_tensor_film, sent, self._limits, reduction)
        elif sent.form == "tensor":
            async with self._small_tensor_places[urgent].place(caller):
                on_turn()
                yield _tensor_film(sent, self._limits, None)
        else:
            if sent.size > self._maximum_file_bytes:
                raise ImageTooLargeError(
                    f"image.{sent.form}", f"expected at most {self._maximum_file_bytes} bytes, got {sent.size}"
                )
            async with self._places[urgent].place(caller):
                on_turn()
                yield await self._decode_file(sent, reduction)

    async def _decode_file(self, sent: SentImage, reduction: Reduction | None) -> Film:
        worker = await self._living_worker()
        try:
            async with asyncio.timeout(self._seconds):
                return await worker.decode(sent, reduction)
        except TimeoutError:
            raise ImageError(
                f"image.{sent.form}", f"expected a file that is decoded within {self._seconds:g} seconds"
            ) from None
        except WorkerFailureError as failure:
            raise self._refused(f"image.{sent.form}", failure) from None
        finally:
            worker.end()
            self._start_another()  # not before, since forking would take its time from the file

    def _refused(self, field: str, failure: WorkerFailureError) -> ImageError:
        _log.warning("a file could not be decoded", field=field, failure=str(failure))
        if str(failure) == OUT_OF_MEMORY:
            memory = self._worker_limits.memory_bytes // 2**20
            return ImageError(field, f"expected a file that is decoded within {memory} MiB of memory")
        return ImageError(field, "expected a whole file that can be decoded within the limits of time and memory")

    async def _living_worker(self) -> Worker:
        """A worker that stands ready.

        Raises:
            StoppingError: the pool has stopped.
        """
        if self._stopped:
            raise StoppingError("the server is stopping")
        while not (worker := await self._ready.get()).alive:
            worker.end()
            self._start_another()
        return worker

    def _start_another(self) -> None:
        if self._stopped:  # nobody would end it
            return
        task = asyncio.create_task(self._make_ready())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _make_ready(self) -> None:
        """Put a fresh worker into the queue, however often that takes."""
        while True:
            try:
                self._ready.put_nowait(await self._fork())
            except (OSError, WorkerFailureError) as error:  # of file descriptors there may be none left
                _log.error("no worker could be started", failure=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                with contextlib.suppress(OSError):
                    await self._fork_server.restart()
            else:
                return

    async def _fork(self) -> Worker:
        worker = self._fork_server.fork()
        try:
            await worker.ready()
        except BaseException:
            worker.end()
            raise
        return worker


def _and_an_urgent_one(count: int) -> dict[bool, Places]:
    """So many places for images that are not urgent, and one for those that are."""
    return {False: Places(count), True: Places(1)}


def _tensor_film(sent: SentImage, limits: ImageLimits, reduction: Reduction | None) -> Film:
    film = decode_sent_tensor(sent, limits)
    return film if reduction is None else reduced(film, reduction)
