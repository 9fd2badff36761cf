"""A gateway as a whole: what is in it, and how it starts and stops."""

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from medxgan.client import Client, Tls
from medxgan.gateway.clock import Clock, system_clock
from medxgan.gateway.delivery.delivering import Delivering, Sender
from medxgan.gateway.delivery.store import StoreSender
from medxgan.gateway.delivery.stow import StowSender
from medxgan.gateway.explaining.explaining import Explaining
from medxgan.gateway.fhir.folder import FhirFolder
from medxgan.gateway.intake.archive import ArchiveQuery, OrthancChanges
from medxgan.gateway.intake.commitment import Committing
from medxgan.gateway.intake.folder import WatchedFolder
from medxgan.gateway.intake.reception import Receiver
from medxgan.gateway.intake.scp import DicomNode
from medxgan.gateway.journal.commitments import Commitments
from medxgan.gateway.journal.cursors import Cursors
from medxgan.gateway.journal.database import Database, journal_file
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.retention import Retention
from medxgan.gateway.lanes import Lane
from medxgan.gateway.settings import Destination, DicomDestination, GatewaySettings, ServerSettings
from medxgan.gateway.telemetry.endpoint import TelemetryEndpoint
from medxgan.gateway.telemetry.log import get_logger
from medxgan.gateway.telemetry.metrics import Metrics
from medxgan.gateway.telemetry.reading import Reading, read_token
from medxgan.gateway.telemetry.status import Status

log = get_logger(__name__)

IDLE_S = 1.0
"""Seconds after which a lane looks at the journal again, by which another process may have done something."""
RETENTION_S = 600.0
FOLDER_S = 1.0

GRACE_S = 10.0
"""Seconds that explanations under way have to finish once the gateway is told to stop."""


class RunningError(Exception):
    """Another process runs a gateway on the same folder."""


class Gateway:
    """Takes films in, has them explained and delivers what comes of it, for as long as its context lasts.

    Args:
        settings: of it.
        clock: by which retries and retention are reckoned.

    Raises:
        RunningError: on entering, if another process has the folder.
        OSError, ValueError: on entering, if an address can't be listened on or a file can't be used.
        CredentialsError: on entering, if a file of TLS to the server can't be used.
    """

    def __init__(self, settings: GatewaySettings, clock: Clock = system_clock) -> None:
        self._settings, self._clock = settings, clock
        self._running = ExitStack()
        self._node: DicomNode | None = None
        self._endpoint: TelemetryEndpoint | None = None

    @property
    def dicom_port(self) -> int:
        """That it takes films on, while the context lasts.

        Raises:
            LookupError: it takes none by DICOM.
        """
        if self._node is None:
            raise LookupError("dicom: expected settings of the DICOM node")
        return self._node.port

    @property
    def telemetry_port(self) -> int:
        """Of the status page, while the context lasts.

        Raises:
            LookupError: there is none.
        """
        if self._endpoint is None:
            raise LookupError("telemetry: expected an address")
        return self._endpoint.port

    def __enter__(self) -> Self:
        with ExitStack() as started:
            self._start(started)
            self._running = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _start(self, started: ExitStack) -> None:
        settings, folder = self._settings, self._settings.folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        started.callback(os.close, _locked(folder / "lock"))
        database = Database(journal_file(folder))
        started.callback(database.close)
        journal, commitments = Journal(database, self._clock), Commitments(database, self._clock)
        films, results = FileStore(folder / "films"), FileStore(folder / "results")
        # Of each film, under the name of its file.
        answers = None if settings.reading is None else FileStore(folder / "answers")
        reading = None
        if settings.reading is not None and answers is not None:
            reading = Reading(read_token(settings.reading.token_file), journal, films, answers)
        known_films, known_results = journal.files()
        # Nobody was promised anything about such a film. It is kept all the same, lest a lost journal take all films
        # with it; results can be made again.
        if films.sweep(known_films, folder / "unclaimed"):
            log.warning("files of films that the journal does not know", folder="unclaimed")
        results.sweep(known_results)
        if answers is not None:
            answers.sweep(known_films)
        elif (folder / "answers").exists():
            # Nobody may read them any more, and nothing would delete them with their films.
            shutil.rmtree(folder / "answers")
        journal.keep_destinations(each.name for each in settings.destinations)
        metrics = Metrics()
        metrics.watch(journal, films, self._clock)
        explainers: list[Lane] = []
        receiver = Receiver(
            journal,
            films,
            settings.rules,
            free_bytes=settings.free_mb * 2**20,
            largest_bytes=settings.largest_mb * 2**20,
            metrics=metrics,
            wake=lambda: _wake(explainers),
        )
        lanes = self._delivery_lanes(journal, results, metrics)
        client = started.enter_context(_client(settings.server))
        explainers += self._explaining_lanes(client, journal, films, results, answers, metrics, lanes[:])
        lanes += explainers
        lanes += self._intake_lanes(journal, Cursors(database), receiver, metrics)
        retention = Retention(database, films, results, settings.retention, self._clock, answers)
        lanes.append(Lane("retention", retention.step, metrics, idle_s=RETENTION_S))
        if settings.dicom is not None and settings.dicom.storage_commitment:
            committing = Committing(journal, commitments, settings.dicom, settings.retries, self._clock)
            lanes.append(Lane("commitment", committing.step, metrics, idle_s=IDLE_S))
        # What is under way ends before what it works with goes; what takes long is cut off, and made again.
        started.callback(_stop, lanes, client.close)
        for lane in lanes:
            lane.start()
        if settings.dicom is not None:
            self._node = DicomNode(settings.dicom, receiver, commitments, metrics)
            started.callback(self._node.stop)
        # The last: who hears that it is ready can send.
        if settings.telemetry is not None:
            self._endpoint = TelemetryEndpoint(
                settings.telemetry,
                metrics.registry,
                lambda: Status.of(journal, self._clock),
                receiver.has_room,
                reading,
            )
            started.callback(self._endpoint.stop)

    def _delivery_lanes(self, journal: Journal, results: FileStore, metrics: Metrics) -> list[Lane]:
        lanes = []
        for destination in self._settings.destinations:
            delivering = Delivering(
                destination.name,
                _sender(destination),
                journal,
                results,
                retries=self._settings.retries,
                metrics=metrics,
                clock=self._clock,
            )
            lanes.append(Lane(f"delivery {destination.name}", delivering.step, metrics, idle_s=IDLE_S))
        return lanes

    def _explaining_lanes(
        self,
        client: Client,
        journal: Journal,
        films: FileStore,
        results: FileStore,
        answers: FileStore | None,
        metrics: Metrics,
        next_lanes: list[Lane],
    ) -> list[Lane]:
        settings = self._settings
        explaining = Explaining(
            client,
            journal,
            films,
            results,
            outputs=settings.outputs,
            answers=answers,
            rule_outputs={rule.name: rule.outputs for rule in settings.rules if rule.outputs is not None},
            destinations=[each.name for each in settings.destinations],
            de_identify=settings.server.de_identify,
            retries=settings.retries,
            metrics=metrics,
            clock=self._clock,
            fhir=None if settings.fhir is None else FhirFolder(settings.fhir.folder, settings.fhir.dicomweb),
        )

        def step() -> bool:
            has_done = explaining.step()
            if has_done:
                _wake(next_lanes)
            return has_done

        numbers = range(1, settings.server.workers + 1)
        return [Lane(f"explaining {number}", step, metrics, idle_s=IDLE_S) for number in numbers]

    def _intake_lanes(self, journal: Journal, cursors: Cursors, receiver: Receiver, metrics: Metrics) -> list[Lane]:
        lanes = [
            Lane(f"folder {number}", WatchedFolder(folder, receiver).step, metrics, idle_s=FOLDER_S)
            for number, folder in enumerate(self._settings.folders, start=1)
        ]
        for archive in self._settings.dicomweb:
            step: Callable[[], bool] = (
                OrthancChanges(archive, cursors, receiver).step
                if archive.changes == "orthanc"
                else ArchiveQuery(archive, journal, receiver, self._clock).step
            )
            lanes.append(Lane(f"archive {archive.name}", step, metrics, idle_s=archive.interval_s))
        return lanes


def _client(server: ServerSettings) -> Client:
    named = (server.authority, server.certificate, server.key)
    tls = Tls(*named) if server.tls or any(file is not None for file in named) else None
    return Client(server.address, timeout=server.timeout_s, patience=0, tls=tls, token=server.token_file)


def _sender(destination: Destination) -> Sender:
    return StoreSender(destination) if isinstance(destination, DicomDestination) else StowSender(destination)


def _locked(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise RunningError(f"{file.parent}: another process runs a gateway there") from error
    return descriptor


def _wake(lanes: list[Lane]) -> None:
    for lane in lanes:
        lane.wake()


def _stop(lanes: list[Lane], cut_off: Callable[[], None]) -> None:
    for lane in lanes:
        lane.tell()
    end = time.monotonic() + GRACE_S
    for lane in lanes:
        lane.join(max(0.0, end - time.monotonic()))
    cut_off()
    for lane in lanes:
        lane.join()
