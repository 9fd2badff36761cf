"""A worker: reads one file that lies in memory it shares with the server, and ends."""

import mmap
import os
import socket

import numpy as np

from medxgan.server.errors import MedxganError
from medxgan.server.images.decoding import decode_file
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.reduction import reduced
from medxgan.server.images.workers import messages
from medxgan.server.images.workers.confinement import confine, end_with_parent, limit_cpu

_LEAST_CPU_SECONDS = 6
_BYTES_PER_CPU_SECOND = 2 * 2**20
"""What a file may take by its size. Measured on films of 50 million pixels: JPEG-LS takes 4 s for 8 MB, JPEG 2000 of
noise 7 s for 56 MB, everything else less than 2 s. A kilobyte that takes longer means harm."""


def serve_one(
    channel: socket.socket,
    shared_file: int,
    *,
    limits: ImageLimits,
    memory_bytes: int,
    cpu_seconds: int,
    shared_bytes: int,
) -> None:
    """Give up all that is not needed, wait for a job, and answer it.

    Args:
        channel: socket to the server.
        shared_file: descriptor of the shared memory: the file to read, and room for the levels behind it.
        limits: the largest image taken.
        memory_bytes: most bytes of private memory.
        cpu_seconds: most seconds of computing.
        shared_bytes: size of the shared memory.
    """
    shared = mmap.mmap(shared_file, shared_bytes)
    os.close(shared_file)
    end_with_parent()
    confine(memory_bytes, cpu_seconds)
    channel.sendall(messages.ready_line(os.getpid()))
    line = channel.recv(messages.LONGEST_JOB)
    if line:
        job = messages.Job.of(line)
        limit_cpu(min(cpu_seconds, _LEAST_CPU_SECONDS + job.size // _BYTES_PER_CPU_SECOND))
        channel.sendall(_answer(job, shared, limits))


def _answer(job: messages.Job, shared: mmap.mmap, limits: ImageLimits) -> bytes:
    try:
        content = shared[: job.size]
        if hasattr(mmap, "MADV_REMOVE") and (pages := job.size // mmap.PAGESIZE * mmap.PAGESIZE):
            shared.madvise(mmap.MADV_REMOVE, 0, pages)  # the file is held once
        film = decode_file(job.form, content, job.frame, job.spacing, limits)
        if job.reduction is not None:
            film = reduced(film, job.reduction)
        levels = np.frombuffer(shared, np.float32, film.levels.size, messages.levels_offset(job.size))
        levels.reshape(film.levels.shape)[:] = film.levels
        return messages.film_line(film)
    except MedxganError as error:
        return messages.error_line(error)
    except MemoryError:
        return messages.failure_line(messages.OUT_OF_MEMORY)
    except Exception as error:  # noqa: BLE001 - whatever a file makes a library raise; its text may quote the file
        return messages.failure_line(type(error).__name__)
