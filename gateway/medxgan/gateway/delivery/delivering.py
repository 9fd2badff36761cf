"""From results that are kept to one destination that has them."""

import io
from collections.abc import Sequence
from typing import Protocol

import pydicom
from pydicom.dataset import Dataset

from medxgan.gateway.clock import Clock
from medxgan.gateway.delivery.answers import Answers, DestinationAwayError
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.records import Delivery, State
from medxgan.gateway.retries import delay, is_over
from medxgan.gateway.settings import RetrySettings
from medxgan.gateway.telemetry.log import get_logger
from medxgan.gateway.telemetry.metrics import Metrics

log = get_logger(__name__)


class Sender(Protocol):
    """A way to a destination."""

    def send(self, objects: Sequence[Dataset]) -> Answers:
        """Send objects; raises DestinationAwayError."""
        ...


class Delivering:
    """Delivers to one destination, one film after the other; a destination that is away holds up no other.

    Args:
        destination: by name.
        sender: the way to it.
        journal: that says what is owed.
        results: files of the objects.
        retries: when what failed is tried again.
        metrics: where tries are counted.
        clock: by which retries are reckoned.
    """

    def __init__(
        self,
        destination: str,
        sender: Sender,
        journal: Journal,
        results: FileStore,
        *,
        retries: RetrySettings,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._destination, self._sender, self._journal, self._results = destination, sender, journal, results
        self._retries, self._metrics, self._clock = retries, metrics, clock

    def step(self) -> bool:
        """Deliver the results of the film that has waited longest; false where none waits."""
        owed = self._journal.owed(self._destination)
        if owed is None:
            return False
        try:
            outcome = self._outcome(owed)
        except Exception as fault:  # noqa: BLE001 - one film must not hold up the others
            part = f"delivery {self._destination}"
            self._metrics.fault(part)
            log.error("fault", part=part, fault=type(fault).__name__)
            outcome = self._again(owed, f"fault: {type(fault).__name__}")
        self._metrics.delivered(self._destination, outcome)
        log.info("results sent", film=owed.film, destination=self._destination, outcome=outcome)
        return True

    def _outcome(self, owed: Delivery) -> str:
        accepted = self._journal.accepted(owed.film, self._destination)
        left = [result for result in self._journal.results(owed.film) if result.sop_instance_uid not in accepted]
        try:
            objects = [pydicom.dcmread(io.BytesIO(self._results.path(each.file).read_bytes())) for each in left]
        except FileNotFoundError:
            return self._end(owed, State.FAILED, "a file of the results is gone")
        try:
            answers = self._sender.send(objects) if objects else {}
        except DestinationAwayError as error:
            return self._again(owed, str(error))
        for result in left:
            if (answer := answers.get(result.sop_instance_uid)) is not None:
                self._journal.receipt(
                    owed.film,
                    self._destination,
                    result.sop_instance_uid,
                    accepted=answer.accepted,
                    status=answer.status,
                )
        unanswered = [result for result in left if result.sop_instance_uid not in answers]
        refused = [answer for answer in answers.values() if not answer.accepted]
        if unanswered or not all(answer.is_final for answer in refused):
            said = ", ".join(sorted({answer.status for answer in refused if not answer.is_final}))
            return self._again(owed, f"answered {said}" if said else "no answer")
        if refused:
            said = ", ".join(sorted({answer.status for answer in refused}))
            return self._end(owed, State.FAILED, f"refuses {len(refused)} of {len(left)} objects: {said}")
        return self._end(owed, State.DELIVERED, "")

    def _again(self, owed: Delivery, reason: str) -> str:
        now = self._clock()
        first_failed = now if owed.first_failed is None else owed.first_failed
        if is_over(self._retries, first_failed, now):
            return self._end(owed, State.DEAD, reason)
        self._journal.postpone_delivery(
            owed.film, self._destination, reason, first_failed, now + delay(self._retries, owed.attempts)
        )
        return "postponed"

    def _end(self, owed: Delivery, state: State, reason: str) -> str:
        if self._journal.end_delivery(owed.film, self._destination, state, reason) is State.DELIVERED:
            self._metrics.turned_around(self._clock() - self._journal.film(owed.film).received)
        return state.value
