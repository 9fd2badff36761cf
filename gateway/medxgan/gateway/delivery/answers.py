"""What a destination says of an object that it was sent."""

from collections.abc import Mapping
from dataclasses import dataclass


class DestinationAwayError(Exception):
    """A destination does not answer, or does not let this gateway in; the text is ours, and says which."""


@dataclass(frozen=True)
class Answer:
    """The answer for one object.

    Attributes:
        accepted: whether the destination has it now.
        is_final: whether the same would be answered again.
        status: in hexadecimal digits, of C-STORE or of the failure reason of STOW-RS.
    """

    accepted: bool
    is_final: bool
    status: str


Answers = Mapping[str, Answer]
"""By SOP Instance UID; an object without an answer was not dealt with."""

_TRANSIENT = (0x0110, 0x0213)
"""Processing failure and resource limitation (DICOM PS3.7, annex C)."""


def answer_of(status: int) -> Answer:
    """The answer by a status of C-STORE (PS3.4, B.2.3): a warning is a success; what is full may have room later."""
    text = f"{status:04x}"
    if status == 0 or status & 0xF000 == 0xB000:
        return Answer(accepted=True, is_final=True, status=text)
    return Answer(accepted=False, is_final=not (status & 0xFF00 == 0xA700 or status in _TRANSIENT), status=text)
