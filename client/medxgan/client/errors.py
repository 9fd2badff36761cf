"""Everything a call can end with but its answer.

MedxganClientError
├── InvalidRequestError      the request is wrong, named by field
├── NotFoundError            no such model or version
├── UnsupportedError         this server can't do what was asked
├── RefusedError             the server does not let this caller in
├── CredentialsError         what is to show who calls can't be used, or would be shown to others
├── BusyError                the server's queue is full
├── UnavailableError         no server was reached, or the call was cut off
├── DeadlineExceededError    the timeout passed first
└── ServerFaultError         the server failed; its log holds the id

MissingExtraError is apart: a part of this installation that was needed is not there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc_status import rpc_status


class MedxganClientError(Exception):
    """Base of all errors of a call."""


class InvalidRequestError(MedxganClientError):
    """The request is wrong.

    Attributes:
        field: path of the offending field as in the .proto: `image.tensor.data`.
        description: what was expected there.
    """

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}" if field else description)
        self.field = field
        self.description = description


class NotFoundError(MedxganClientError):
    """No model of that name and version is served."""


class UnsupportedError(MedxganClientError):
    """This server, as installed or as its bundle allows, can't do what was asked."""


class RefusedError(MedxganClientError):
    """The server does not let this caller in."""


class CredentialsError(MedxganClientError):
    """A token or a file of TLS can't be used, or a token would go out in the clear; nothing was sent."""


class BusyError(MedxganClientError):
    """The server's queue is full. `retry_delay` is the server's hint in seconds, None where it gave none."""

    def __init__(self, message: str, retry_delay: float | None) -> None:
        super().__init__(message)
        self.retry_delay = retry_delay


class UnavailableError(MedxganClientError):
    """No server was reached, or the call was cut off."""


class DeadlineExceededError(MedxganClientError):
    """The timeout passed before the answer came."""


class ServerFaultError(MedxganClientError):
    """The server failed, or sent what can't be read. `id` names the fault in the server's log; empty if unknown."""

    def __init__(self, message: str, id: str = "") -> None:  # noqa: A002 (the server's word for it)
        super().__init__(message if id in message else f"{message} (id {id})")
        self.id = id


class MissingExtraError(Exception):
    """What was asked for needs an extra that is not installed; the message says which.

    Args:
        purpose: what needs it: "`medxgan train`".
        extra: the extra of the distribution.
        cause: the import that failed.
    """

    def __init__(self, purpose: str, extra: str, cause: ModuleNotFoundError) -> None:
        super().__init__(
            f"{purpose} needs the {extra} extra: pip install 'medxgan[{extra}]' (there is no module {cause.name!r})"
        )


@contextmanager
def needed_extra(purpose: str, extra: str) -> Iterator[None]:
    """While what an extra brings is imported: where it is not there, that is a MissingExtraError."""
    try:
        yield
    except ModuleNotFoundError as error:
        # A part of medxgan itself that is missing is a broken installation, which no extra mends.
        if error.name is None or error.name.partition(".")[0] == "medxgan":
            raise
        raise MissingExtraError(purpose, extra, error) from error


@dataclass(frozen=True)
class _Status:
    """A failed call's message and the details (google.rpc) that came with it."""

    message: str
    violations: tuple[tuple[str, str], ...] = ()
    retry_delay: float | None = None
    request_id: str = ""


def _invalid(status: _Status) -> MedxganClientError:
    if not status.violations:
        return InvalidRequestError("", status.message)
    (field, description), *others = status.violations
    return InvalidRequestError(field, "; ".join([description, *(f"{path}: {text}" for path, text in others)]))


def _exhausted(status: _Status) -> MedxganClientError:
    # gRPC itself answers a message over the server's limit with this code and this text, in C, Go and C++ alike;
    # nothing but the image makes a request that large.
    if status.retry_delay is None and "larger than max" in status.message:
        return InvalidRequestError("image", f"the request is over the server's limit: {status.message}")
    return BusyError(status.message, status.retry_delay)


def _unavailable(status: _Status) -> MedxganClientError:
    return UnavailableError(f"no answer from the server: {status.message}")


def _fault(status: _Status) -> MedxganClientError:
    return ServerFaultError(status.message, status.request_id)


def _as(error: type[MedxganClientError]) -> Callable[[_Status], MedxganClientError]:
    return lambda status: error(status.message)


ERRORS: dict[StatusCode, Callable[[_Status], MedxganClientError]] = {
    StatusCode.INVALID_ARGUMENT: _invalid,
    StatusCode.OUT_OF_RANGE: _invalid,
    StatusCode.NOT_FOUND: _as(NotFoundError),
    StatusCode.UNIMPLEMENTED: _as(UnsupportedError),
    StatusCode.FAILED_PRECONDITION: _as(UnsupportedError),
    StatusCode.UNAUTHENTICATED: _as(RefusedError),
    StatusCode.PERMISSION_DENIED: _as(RefusedError),
    StatusCode.RESOURCE_EXHAUSTED: _exhausted,
    StatusCode.UNAVAILABLE: _unavailable,
    StatusCode.CANCELLED: _unavailable,
    StatusCode.DEADLINE_EXCEEDED: _as(DeadlineExceededError),
    StatusCode.INTERNAL: _fault,
    StatusCode.UNKNOWN: _fault,
    StatusCode.DATA_LOSS: _fault,
    StatusCode.ABORTED: _fault,
    StatusCode.ALREADY_EXISTS: _fault,
}
"""The one table from a gRPC status to its error; a test proves it complete."""


def error_from_call(failure: grpc.RpcError) -> MedxganClientError:
    """Read a failed gRPC call: its code, its message and its google.rpc details."""
    message = failure.details() or failure.code().name
    return ERRORS[failure.code()](_status(message, failure))


def _status(message: str, failure: grpc.RpcError) -> _Status:
    try:
        rich = rpc_status.from_call(failure)
    except (ValueError, DecodeError):
        # A proxy rewrote the code, or the details are not ours: the code and the message still stand.
        rich = None
    violations: list[tuple[str, str]] = []
    retry_delay: float | None = None
    request_id = ""
    for detail in rich.details if rich is not None else ():
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad_request = error_details_pb2.BadRequest.FromString(detail.value)
            violations += [(violation.field, violation.description) for violation in bad_request.field_violations]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry_delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay.ToTimedelta().total_seconds()
        elif detail.Is(error_details_pb2.RequestInfo.DESCRIPTOR):
            request_id = error_details_pb2.RequestInfo.FromString(detail.value).request_id
    return _Status(message, tuple(violations), retry_delay, request_id)
