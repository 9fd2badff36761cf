"""Between the client's enumerations and the wire's.

`MapKind.ORIGINAL` is `MAP_KIND_ORIGINAL` on the wire, where a value begins with its enumeration's name.
"""

from enum import StrEnum
from typing import Any, TypeVar

from medxgan.client.errors import ServerFaultError
from medxgan.client.results import AttributionMethod, MapKind, ProgressPhase, VerdictReasonCode, VerdictStatus
from medxgan.v1 import explanation_pb2

Member = TypeVar("Member", bound=StrEnum)

PREFIXES: dict[type[StrEnum], str] = {
    MapKind: "MAP_KIND_",
    VerdictStatus: "VERDICT_STATUS_",
    VerdictReasonCode: "VERDICT_REASON_CODE_",
    AttributionMethod: "ATTRIBUTION_METHOD_",
    ProgressPhase: "PROGRESS_PHASE_",
}


def to_wire(member: StrEnum) -> Any:
    """The wire's value for `member`: a number, for which protobuf has no class of its own."""
    return getattr(explanation_pb2, PREFIXES[type(member)] + member.name)


def from_wire(kind: type[Member], number: int) -> Member:
    """The member of `kind` for the wire's `number`; its enumeration has the same name there.

    Raises:
        ServerFaultError: a server newer than this client sent a number that it does not know.
    """
    wire = getattr(explanation_pb2, kind.__name__)
    if number in wire.values():
        name = wire.Name(number).removeprefix(PREFIXES[kind])
        if name in kind.__members__:
            return kind[name]
    raise ServerFaultError(f"the answer can't be read: {kind.__name__} {number} is not known to this client")
