"""The one door: whichever way an object came, it is judged and kept here, and only then answered."""

import errno
import sqlite3
from collections.abc import Callable
from enum import StrEnum

from medxgan.gateway.intake.objects import LARGEST_BYTES, IncomingObject, TooLargeError, UnreadableError, read
from medxgan.gateway.journal.database import is_full
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import ConflictError, FileMissingError, Journal
from medxgan.gateway.journal.records import Arrival
from medxgan.gateway.rules import Decision, Rule, decide, unusable
from medxgan.gateway.telemetry.log import get_logger
from medxgan.gateway.telemetry.metrics import Metrics

log = get_logger(__name__)


class Reception(StrEnum):
    """What became of an object.

    TAKEN: it is on the disk and in the journal. REPEATED: it had been taken before. IGNORED: it is in the journal with
    the reason, and not kept. OTHER_PIXELS: its UID is known with other pixels; the first stays, this one is refused.
    MISMATCHED: it is not the object that was announced. UNREADABLE: it is no DICOM object, or ends too soon.
    TOO_LARGE: it is larger than the settings let it be. NO_ROOM: the disk is full; it would be taken later.
    """

    TAKEN = "taken"
    REPEATED = "repeated"
    IGNORED = "ignored"
    OTHER_PIXELS = "other_pixels"
    MISMATCHED = "mismatched"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    NO_ROOM = "no_room"


class Receiver:
    """Takes objects in.

    Args:
        journal: where they are noted.
        films: where they are kept.
        rules: which go to which model.
        free_bytes: of the disk that stay free.
        largest_bytes: of an object.
        metrics: where they are counted.
        wake: called when a film waits to be explained.
    """

    def __init__(
        self,
        journal: Journal,
        films: FileStore,
        rules: tuple[Rule, ...],
        *,
        free_bytes: int,
        largest_bytes: int = LARGEST_BYTES,
        metrics: Metrics,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal, self._films, self._rules = journal, films, rules
        self._free_bytes, self._metrics, self._wake = free_bytes, metrics, wake
        self.largest_bytes = largest_bytes
        self._refusing = False

    def has_room(self) -> bool:
        """Whether a film would be taken now, as far as the disk is concerned."""
        has_room = self._films.free_bytes() >= self._free_bytes
        if has_room == self._refusing:
            self._refusing = not has_room
            (log.info if has_room else log.error)("room on the disk", has_room=has_room)
        return has_room

    def receive(self, content: bytes, source: str, announced: tuple[str, str] | None = None) -> Reception:
        """Take an object in; on return all that the answer promises is on the disk.

        Args:
            content: a DICOM file.
            source: "dicom", "folder" or "dicomweb".
            announced: SOP class and SOP instance UID that the sender named; None where it named none.
        """
        reception = self._receive(content, source, announced)
        self._count(reception, source)
        if reception in (Reception.TAKEN, Reception.REPEATED):
            self._wake()
        return reception

    def refuse(self, source: str) -> Reception:
        """An object that was seen to be too large before all of it was read."""
        self._count(Reception.TOO_LARGE, source)
        return Reception.TOO_LARGE

    def _count(self, reception: Reception, source: str) -> None:
        self._metrics.received(source, reception.value)
        log.info("object came", source=source, reception=reception.value)

    def _receive(self, content: bytes, source: str, announced: tuple[str, str] | None) -> Reception:
        if not self.has_room():
            return Reception.NO_ROOM
        try:
            incoming = read(content, self.largest_bytes)
            if announced is not None and announced != (incoming.sop_class_uid, incoming.sop_instance_uid):
                return Reception.MISMATCHED
            return self._keep(incoming, self._decide(incoming), source)
        except UnreadableError:
            return Reception.UNREADABLE
        except TooLargeError:
            return Reception.TOO_LARGE
        except ConflictError:
            return Reception.OTHER_PIXELS
        except sqlite3.OperationalError as error:
            if is_full(error):
                return Reception.NO_ROOM
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                return Reception.NO_ROOM
            raise

    def _decide(self, incoming: IncomingObject) -> Decision:
        if self._journal.is_result(incoming.sop_instance_uid):
            return Decision("", "", "a result of this gateway")
        try:
            reason = unusable(incoming.dataset)
            return Decision("", "", reason) if reason is not None else decide(self._rules, incoming.dataset)
        except Exception as error:  # pydicom converts a value when it is looked at, and fails in many ways
            raise UnreadableError("an attribute that a rule names can't be read") from error

    def _keep(self, incoming: IncomingObject, decision: Decision, source: str) -> Reception:
        arrival = Arrival(
            incoming.sop_instance_uid,
            incoming.sop_class_uid,
            incoming.pixels_sha256,
            source,
            decision.model,
            decision.version,
            decision.reason,
        )
        known = self._journal.known(incoming.sop_instance_uid)
        is_new = known is None or known.file is None
        try:
            self._note(arrival, incoming.content if decision.model and is_new else None)
        except FileMissingError:
            # Its file was deleted, as retention has it, while this one came.
            self._note(arrival, incoming.content)
        if not decision.model:
            return Reception.IGNORED
        return Reception.TAKEN if is_new else Reception.REPEATED

    def _note(self, arrival: Arrival, content: bytes | None) -> None:
        file = None if content is None else self._films.write(content)
        is_needed = False
        try:
            is_needed = self._journal.arrive(arrival, file)
        except sqlite3.Error as error:
            # The row may be on the disk all the same, but where there was no room for it: the next start finds out.
            is_needed = not is_full(error)
            raise
        finally:
            if file is not None and not is_needed:
                self._films.remove([file])
