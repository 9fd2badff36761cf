"""The engine that is several processes of this machine, each with a server of its own, which take parts as they come.

In one process the copies of a model wait for each other wherever it is Python that computes, which with small networks
is a quarter of the time.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, cast

from medxgan.client.results import ModelDescription
from medxgan.cohort.endpoint import Endpoint, describe
from medxgan.cohort.engines.travelling_errors import errors_that_travel
from medxgan.cohort.errors import CohortError
from medxgan.cohort.job import Job
from medxgan.cohort.part_explainer import Tell

NEXT, DONE = "next", "done"
"""What a process says beside its answers: that it has room for a part, and that it has none left to do."""


class Processes:
    """Processes that explain parts.

    Args:
        workers: the processes and the connections to them.
        requests: films that each has with its server at once.
    """

    def __init__(self, workers: Sequence[tuple[SpawnProcess, Connection]], requests: int) -> None:
        self._workers = {connection: process for process, connection in workers}
        self._requests = requests

    @property
    def requests(self) -> int:
        """Films that each process has with its server at once."""
        return self._requests

    def describe(self, model: str, version: str) -> ModelDescription:
        """What the first of the servers says of a model.

        Raises:
            CohortError: there is no such model, or the process has ended.
        """
        first = next(iter(self._workers))
        self._send(first, (model, version))
        return cast("ModelDescription", self._heard(first))

    def explain(self, job: Job, parts: Sequence[int], tell: Tell) -> None:
        """Explain parts; on return all of them are written.

        Raises:
            CohortError: the run can't go on, or a process has ended.
        """
        waiting, busy = iter(parts), set(self._workers)
        for connection in busy:
            self._send(connection, job)
        while busy:
            for connection in cast("list[Connection[Any, Any]]", wait(list(busy))):
                said = self._heard(connection)
                if said == NEXT:
                    self._send(connection, next(waiting, None))
                elif said == DONE:
                    busy.remove(connection)
                else:
                    tell(bool(said))

    def _send(self, connection: Connection, what: object) -> None:
        try:
            connection.send(what)
        except OSError:
            raise self._ended(connection) from None

    def _heard(self, connection: Connection) -> object:
        try:
            said: object = connection.recv()
        except (EOFError, OSError):
            raise self._ended(connection) from None
        if isinstance(said, CohortError):
            raise said
        return said

    def _ended(self, connection: Connection) -> CohortError:
        process = self._workers[connection]
        process.join(1)
        return CohortError(
            f"a process that explains has ended (exit code {process.exitcode}); the same command goes on where it was"
        )


@contextmanager
def processes(endpoint: Endpoint, workers: int, requests: int | None) -> Iterator[Processes]:
    """The engine while its context lasts.

    Args:
        endpoint: of the servers, which are the processes' own.
        workers: number of processes.
        requests: films that each has with its server at once; None for as many as keep it busy.
    """
    spawn = multiprocessing.get_context("spawn")  # a fork would take along threads and locks of this process
    started: list[tuple[SpawnProcess, Connection]] = []
    try:
        for number in range(workers):
            here, there = spawn.Pipe()
            process = spawn.Process(target=_work, args=(endpoint, there), name=f"cohort {number}", daemon=True)
            process.start()
            there.close()  # so that its end is the connection's end
            started.append((process, here))
        yield Processes(started, requests or endpoint.requests(1))
    finally:
        for _, connection in started:
            connection.close()
        for process, _ in started:
            process.terminate()
        for process, _ in started:
            process.join()
            process.close()


def _work(endpoint: Endpoint, connection: Connection) -> None:
    """What a process does: describe a model, or explain parts, as it is told, until nobody tells it any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's is for the command, which ends its processes
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, ConnectionError):
        try:
            with errors_that_travel(), endpoint.open(1) as (address, arguments):
                while True:
                    connection.send(_answer(connection, address, arguments, connection.recv()))
        except CohortError as error:
            connection.send(error)


def _answer(connection: Connection, address: str, arguments: dict[str, Any], asked: Job | tuple[str, str]) -> object:
    if not isinstance(asked, Job):
        return describe(address, arguments, *asked)
    asked.explain(address, arguments, _parts(connection), connection.send)
    return DONE


def _parts(connection: Connection) -> Iterator[int]:
    """Parts, as they are given out."""
    while True:
        connection.send(NEXT)
        part: int | None = connection.recv()
        if part is None:
            return
        yield part


def _end_with_parent() -> None:
    """A command that is killed leaves nothing behind that goes on to write into its folder."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
    os._exit(1)
