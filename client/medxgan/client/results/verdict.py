"""Whether an explanation can be relied on."""

from dataclasses import dataclass
from enum import StrEnum


class VerdictStatus(StrEnum):
    """Whether an explanation can be relied on; NOT_APPLICABLE where the classifier calls the image negative."""

    RELIABLE = "reliable"
    NOT_RELIABLE = "not_reliable"
    NOT_APPLICABLE = "not_applicable"


class VerdictReasonCode(StrEnum):
    """The checks behind a verdict."""

    RECONSTRUCTION_TOO_FAR = "reconstruction_too_far"
    CLASSIFIER_DISAGREES = "classifier_disagrees"
    NEGATIVE_IS_POSITIVE = "negative_is_positive"
    IMAGE_IS_NEGATIVE = "image_is_negative"


@dataclass(frozen=True)
class VerdictReason:
    """One failed check: what was measured against which threshold, and a sentence for a person."""

    code: VerdictReasonCode
    measured: float
    threshold: float
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """Whether an explanation can be relied on; `reasons` is empty when it can."""

    status: VerdictStatus
    reasons: tuple[VerdictReason, ...]
