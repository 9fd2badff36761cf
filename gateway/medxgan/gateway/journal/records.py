"""What the journal holds of a film."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How far a film has come.

    RECEIVED: its file is kept, and it waits to be explained. EXPLAINED: its results are kept, and wait to be delivered.
    DELIVERED: every destination has every result. IGNORED: it is not to be explained. FAILED: trying again would end
    the same. DEAD: it was tried again for as long as the settings say. What failed or is dead goes on by
    `medxgan gateway retry`.
    """

    RECEIVED = "received"
    EXPLAINED = "explained"
    DELIVERED = "delivered"
    IGNORED = "ignored"
    FAILED = "failed"
    DEAD = "dead"


STUCK = (State.FAILED, State.DEAD)
"""The dead-letter list."""


@dataclass(frozen=True)
class Arrival:
    """A film as it comes in.

    Attributes:
        sop_instance_uid: of the film.
        sop_class_uid: of the film.
        pixels_sha256: of its pixel data as it came; empty where there is none.
        source: "dicom", "folder" or "dicomweb".
        model: that explains it; empty where it is ignored.
        version: of the model; empty for the highest.
        reason: the rule that took it, or why it is ignored.
    """

    sop_instance_uid: str
    sop_class_uid: str
    pixels_sha256: str
    source: str
    model: str
    version: str
    reason: str


@dataclass(frozen=True)
class FilmRecord:
    """One row of `films`; see schema.sql."""

    id: int
    sop_instance_uid: str
    sop_class_uid: str
    pixels_sha256: str
    source: str
    file: str | None
    state: State
    rule: str
    reason: str
    model: str
    version: str
    bundle_sha256: str | None
    verdict: str | None
    received: float
    changed: float
    attempts: int
    faults: int
    first_failed: float | None
    next_attempt: float
    committed: bool


@dataclass(frozen=True)
class ResultRecord:
    """One object that was made of a film; `file` is below the folder of results."""

    sop_instance_uid: str
    sop_class_uid: str
    file: str


@dataclass(frozen=True)
class Delivery:
    """A film whose results are owed to a destination, with how often that failed and since when."""

    film: int
    attempts: int
    first_failed: float | None


@dataclass(frozen=True)
class Commitment:
    """A storage commitment that a peer waits to hear of: instances as (SOP class UID, SOP instance UID)."""

    transaction_uid: str
    peer: str
    instances: tuple[tuple[str, str], ...]
    attempts: int
    first_failed: float | None
