"""From an error to the gRPC status that its caller gets, with machine-readable details."""

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import Status, StatusCode
from grpc.aio import ServicerContext
from grpc_status import rpc_status

from medxgan.server.errors import STATUS_CODES, BusyError, InvalidRequestError, MedxganError

DETAILS_KEY = "grpc-status-details-bin"
"""The trailing header that holds a google.rpc.Status."""

_MOST_BYTES = 1024
"""Of each text of a status, which has it up to four times over: clients take 8 KiB of headers."""


def status_code(kind: type[MedxganError]) -> StatusCode:
    """The code of an error's class, or else of its nearest base."""
    return next(STATUS_CODES[base] for base in kind.__mro__ if base in STATUS_CODES)


def known_status(error: MedxganError) -> status_pb2.Status:
    """What a caller hears of an error of ours: its own text, and the field or the delay as a detail."""
    match error:
        case InvalidRequestError():
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=_cut(error.field), description=_cut(error.expected)
            )
            return _status(
                status_code(type(error)), str(error), error_details_pb2.BadRequest(field_violations=[violation])
            )
        case BusyError():
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(round(1000 * error.retry_delay))
            return _status(status_code(type(error)), str(error), error_details_pb2.RetryInfo(retry_delay=delay))
        case _:
            return _status(status_code(type(error)), str(error))


def internal_status(identifier: str) -> status_pb2.Status:
    """What a caller hears of any other error: a constant text, and the id under which it was logged."""
    return _status(
        StatusCode.INTERNAL,
        f"internal error {identifier}; the server's log says more",
        error_details_pb2.RequestInfo(request_id=identifier),
    )


def to_wire(status: status_pb2.Status) -> Status:
    """A status as gRPC sends it: code, text and trailing headers, with the details in `DETAILS_KEY`."""
    answer: Status = rpc_status.to_status(status)
    return answer


async def abort(context: ServicerContext, error: MedxganError) -> None:
    """End a call with an error of ours."""
    await end(context, known_status(error))


async def end(context: ServicerContext, status: status_pb2.Status) -> None:
    """End a call with a status other than OK."""
    answer = to_wire(status)
    await context.abort(answer.code, answer.details, answer.trailing_metadata)


def _cut(text: str) -> str:
    content = text.encode()
    return text if len(content) <= _MOST_BYTES else content[:_MOST_BYTES].decode(errors="ignore") + "…"


def _status(code: StatusCode, text: str, *details: Message) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=_cut(text))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
