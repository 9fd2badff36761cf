"""Whether an explanation can be relied on."""

from dataclasses import dataclass

from medxgan.client.vocabulary import Unrecognised, VerdictReasonCode, VerdictStatus


@dataclass(frozen=True)
class VerdictReason:
    """One failed check: what was measured against which threshold, and a sentence for a person."""

    code: VerdictReasonCode | Unrecognised
    measured: float
    threshold: float
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """Whether an explanation can be relied on; `reasons` is empty when it can."""

    status: VerdictStatus | Unrecognised
    reasons: tuple[VerdictReason, ...]


@dataclass(frozen=True)
class ImageCheck:
    """One measure of how unlike an image is to those that the model was trained on.

    Attributes:
        name: of the measure.
        measured: higher is less alike.
        maximum: greatest value of a familiar image.
        passed: whether the image passes.
    """

    name: str
    measured: float
    maximum: float
    passed: bool
