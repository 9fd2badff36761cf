"""From a film that was received to results that are kept."""

import errno
import io
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType

import pydicom
from pydicom.dataset import Dataset

from medxgan.client import (
    Client,
    Explanation,
    InvalidRequestError,
    MapKind,
    MedxganClientError,
    ServerFaultError,
    UnsupportedError,
)
from medxgan.gateway.clock import Clock
from medxgan.gateway.explaining.deidentification import BurnedInError, de_identified
from medxgan.gateway.fhir.folder import FhirFolder
from medxgan.gateway.journal.database import is_full
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.records import FilmRecord, ResultRecord, State
from medxgan.gateway.results.errors import UnusableFilmError
from medxgan.gateway.results.outputs import Outputs
from medxgan.gateway.results.series import result_series
from medxgan.gateway.retries import delay, is_over
from medxgan.gateway.settings import RetrySettings
from medxgan.gateway.telemetry.log import get_logger
from medxgan.gateway.telemetry.metrics import Metrics

log = get_logger(__name__)

_FOR_READERS = (MapKind.NEGATIVE_REALIZATION, MapKind.APPLIED_NEGATIVE)
"""Maps that no result is made of, and that a reader blinks with."""

MAXIMUM_FAULTS = 5
"""Tries of a film on which the server, or the making of results, fails as it should not."""


class _FilmError(Exception):
    """Trying this film again would end the same; the text is ours, and says why."""


class Explaining:
    """Explains films; several threads may take steps.

    Args:
        client: of the server; it has no patience of its own, since this has.
        journal: where films wait.
        films: their files.
        results: where results are kept.
        outputs: which results are made.
        rule_outputs: which are made in their place of the films that a rule took, by its name.
        destinations: that results are owed to, by name.
        de_identify: whether only what says nothing of the patient is sent to the server.
        retries: when what failed is tried again.
        metrics: where tries are counted.
        clock: by which retries are reckoned.
        fhir: where what an explanation says is written for others; None for nowhere.
        answers: where the server's answers are kept, for a reading room; None for nowhere.
    """

    def __init__(
        self,
        client: Client,
        journal: Journal,
        films: FileStore,
        results: FileStore,
        *,
        outputs: Outputs,
        destinations: Sequence[str],
        de_identify: bool,
        retries: RetrySettings,
        metrics: Metrics,
        clock: Clock,
        fhir: FhirFolder | None = None,
        rule_outputs: Mapping[str, Outputs] = MappingProxyType({}),
        answers: FileStore | None = None,
    ) -> None:
        self._fhir, self._rule_outputs, self._answers = fhir, rule_outputs, answers
        self._client, self._journal, self._films, self._results = client, journal, films, results
        self._outputs, self._destinations, self._de_identify = outputs, destinations, de_identify
        self._retries, self._metrics, self._clock = retries, metrics, clock
        self._busy: set[int] = set()
        self._lock = threading.Lock()

    def step(self) -> bool:
        """Explain the film that has waited longest; false where none waits."""
        with self._claimed() as film:
            if film is None:
                return False
            began = time.monotonic()
            outcome = self._outcome(film)
            self._metrics.explained(outcome, time.monotonic() - began)
            log.info("explaining", film=film.id, outcome=outcome)
            return True

    @contextmanager
    def _claimed(self) -> Iterator[FilmRecord | None]:
        with self._lock:
            film = self._journal.due(State.RECEIVED, self._busy)
            if film is not None:
                self._busy.add(film.id)
        try:
            yield film
        finally:
            if film is not None:
                with self._lock:
                    self._busy.discard(film.id)

    def _outcome(self, film: FilmRecord) -> str:
        try:
            self._explain(film)
        except (_FilmError, BurnedInError, InvalidRequestError, UnsupportedError, UnusableFilmError) as error:
            self._journal.give_up(film.id, State.FAILED, _reason(error))
            return "failed"
        except ServerFaultError as error:
            return self._fail(film, error, is_fault=True)
        except (MedxganClientError, OSError) as error:
            return self._fail(film, error, is_fault=False)
        except Exception as error:  # noqa: BLE001 - one film must not stop the others
            self._metrics.fault("explaining")
            return self._fail(film, error, is_fault=True)
        return "explained"

    def _fail(self, film: FilmRecord, error: Exception, *, is_fault: bool) -> str:
        now, reason = self._clock(), _reason(error)
        first_failed = now if film.first_failed is None else film.first_failed
        if is_fault and film.faults + 1 >= MAXIMUM_FAULTS:
            self._journal.give_up(film.id, State.FAILED, reason)
            return "failed"
        if is_over(self._retries, first_failed, now):
            self._journal.give_up(film.id, State.DEAD, reason)
            return "dead"
        next_attempt = now + delay(self._retries, film.attempts)
        self._journal.postpone(film.id, reason, first_failed, next_attempt, is_fault=is_fault)
        return "postponed"

    def _explain(self, film: FilmRecord) -> None:
        if self._has_results(film):
            self._journal.explained(
                film.id,
                self._journal.results(film.id),
                self._destinations,
                bundle_sha256=film.bundle_sha256 or "",
                verdict=film.verdict or "",
            )
            return
        source = self._read(film)
        outputs = self._rule_outputs.get(film.rule, self._outputs)
        explanation = self._ask(film, source, outputs)
        objects = result_series(source, explanation, outputs)
        results: list[ResultRecord] = []
        try:
            results.extend(map(self._keep, objects))
            if self._fhir is not None:
                self._fhir.write(source, explanation, objects)
            replaced = self._journal.explained(
                film.id,
                results,
                self._destinations,
                bundle_sha256=explanation.model.bundle_sha256,
                verdict=explanation.verdict.status.value,
            )
        except Exception as error:
            # Each try writes files of its own. Where the journal may name them all the same, the next start finds out.
            if not isinstance(error, sqlite3.Error) or is_full(error):
                self._results.remove(result.file for result in results)
            raise
        self._results.remove(replaced)

    def _has_results(self, film: FilmRecord) -> bool:
        """Whether the model that would explain a film that was sent again has explained it before."""
        if film.bundle_sha256 is None or not self._journal.results(film.id):
            return False
        return self._client.model(film.model, film.version).model.bundle_sha256 == film.bundle_sha256

    def _read(self, film: FilmRecord) -> Dataset:
        if film.file is None:
            raise _FilmError("the film's file is gone")
        try:
            return pydicom.dcmread(io.BytesIO(self._films.path(film.file).read_bytes()))
        except FileNotFoundError as error:
            raise _FilmError("the film's file is gone") from error

    def _ask(self, film: FilmRecord, source: Dataset, outputs: Outputs) -> Explanation:
        content = de_identified(source) if self._de_identify else self._films.path(film.file or "").read_bytes()
        return self._client.explain(
            content,
            model=film.model,
            version=film.version,
            maps=outputs.maps if self._answers is None else (*outputs.maps, *_FOR_READERS),
            trajectory=outputs.requested_trajectory,
            keep=None if self._answers is None else partial(self._keep_answer, self._answers, film.file),
        )

    def _keep_answer(self, answers: FileStore, file: str | None, content: bytes) -> None:
        answers.write(content, file)

    def _keep(self, result: Dataset) -> ResultRecord:
        content = io.BytesIO()
        pydicom.dcmwrite(content, result, enforce_file_format=True)
        return ResultRecord(
            str(result.SOPInstanceUID), str(result.SOPClassUID), self._results.write(content.getvalue())
        )


def _reason(error: Exception) -> str:
    """What went wrong, without what a peer or a film says."""
    match error:
        case _FilmError():
            return str(error)
        case BurnedInError():
            return "BurnedInAnnotation is YES: the film does not leave this machine"
        case UnusableFilmError():
            return f"no results can be made: {error.attribute}"
        case InvalidRequestError():
            return f"the server refuses {error.field or 'the request'}"
        case MedxganClientError():
            return f"server: {type(error).__name__.removesuffix('Error')}"
        case OSError():
            return f"disk: {errno.errorcode.get(error.errno or 0, 'error')}"
        case _:
            return f"fault: {type(error).__name__}"
