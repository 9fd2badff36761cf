"""Everything that can go wrong, and how a caller hears of it.

MedxganError
├── InvalidRequestError      the caller's fault, named by field
│   ├── ImageError           the image can't be read or is not what was expected
│   │   └── ImageTooLargeError   more pixels or bytes than the server takes
│   └── SettingsError        a setting outside the bundle's range
├── UnknownModelError        no such model or version
├── UnknownRegionError       no such region of shared memory
├── RegionExistsError        a region of shared memory of that name is there already
├── BusyError                the queue is full; try again later
│   └── MemoryShortageError      memory is nearly full; try again later
├── SlowUploadError          the request took too long to arrive
├── UnreadError              the caller does not read what is answered
├── TimedOutError            the answer was not there in the time that the request gave it
├── DeadlineError            the answer took longer than the server lets any take
├── UnauthenticatedError     who calls is nobody that the server knows
├── ForbiddenError           who calls is known, and may not call this method
├── IssuerAwayError          a token can't be checked at the moment
├── StoppingError            the server is on its way down
├── AuditError               the audit trail can't be written, so nothing is answered
└── UnsupportedError         this server, as installed, can't do it

A bundle that can't be served is a `medxgan.bundle.BundleError` when the server starts; who asks for it to be loaded
later hears of it as of a wrong request.
"""

from grpc import StatusCode

_SHOWN = 64


def shown(text: str) -> str:
    """What a caller gave as a name, cut to what a status has room for."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class MedxganError(Exception):
    """Base of all errors whose text may be shown to a caller: it never holds patient data."""


class InvalidRequestError(MedxganError):
    """The request is wrong. `field` is the path of the offending field, as in the .proto: `image.tensor.data`."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: {expected}" if field else expected)
        self.field = field
        self.expected = expected


class ImageError(InvalidRequestError):
    """The image can't be read or is not what was expected."""


class ImageTooLargeError(ImageError):
    """The image has more pixels or bytes than the server takes."""


class SettingsError(InvalidRequestError):
    """A setting is outside the bundle's range."""


class UnknownModelError(MedxganError):
    """No model of that name and version is served."""


class UnknownRegionError(MedxganError):
    """No region of shared memory of that name is registered."""


class RegionExistsError(MedxganError):
    """A region of shared memory of that name is registered already."""


class BusyError(MedxganError):
    """The queue is full. `retry_delay` is a hint in seconds."""

    def __init__(self, message: str, retry_delay: float) -> None:
        super().__init__(message)
        self.retry_delay = retry_delay


class MemoryShortageError(BusyError):
    """Memory is nearly full: what is under way goes first."""


class SlowUploadError(MedxganError):
    """The request took too long to arrive."""


class UnreadError(MedxganError):
    """The caller does not read what is answered."""


class TimedOutError(MedxganError):
    """The answer was not there in the time that the request itself gave it."""


class DeadlineError(MedxganError):
    """The answer took longer than the server lets any take."""


class UnauthenticatedError(MedxganError):
    """Who calls is nobody that the server knows. The text says what was expected, and nothing of what was sent."""


class ForbiddenError(MedxganError):
    """Who calls is known, and has not the role that the method takes."""


class IssuerAwayError(MedxganError):
    """A token can't be checked: its issuer's keys could not be had yet."""


class StoppingError(MedxganError):
    """The server is on its way down; another may answer, or this one once it is back."""


class AuditError(MedxganError):
    """The audit trail can't be written: what can't be accounted for is not answered."""


class UnsupportedError(MedxganError):
    """This server, as installed or as its bundle allows, can't do what was asked."""


STATUS_CODES: dict[type[MedxganError], StatusCode] = {
    InvalidRequestError: StatusCode.INVALID_ARGUMENT,
    ImageError: StatusCode.INVALID_ARGUMENT,
    ImageTooLargeError: StatusCode.INVALID_ARGUMENT,
    SettingsError: StatusCode.INVALID_ARGUMENT,
    UnknownModelError: StatusCode.NOT_FOUND,
    UnknownRegionError: StatusCode.NOT_FOUND,
    RegionExistsError: StatusCode.ALREADY_EXISTS,
    BusyError: StatusCode.RESOURCE_EXHAUSTED,
    MemoryShortageError: StatusCode.RESOURCE_EXHAUSTED,
    SlowUploadError: StatusCode.DEADLINE_EXCEEDED,
    UnreadError: StatusCode.DEADLINE_EXCEEDED,
    TimedOutError: StatusCode.DEADLINE_EXCEEDED,
    DeadlineError: StatusCode.DEADLINE_EXCEEDED,
    UnauthenticatedError: StatusCode.UNAUTHENTICATED,
    ForbiddenError: StatusCode.PERMISSION_DENIED,
    IssuerAwayError: StatusCode.UNAVAILABLE,
    StoppingError: StatusCode.UNAVAILABLE,
    AuditError: StatusCode.UNAVAILABLE,
    UnsupportedError: StatusCode.UNIMPLEMENTED,
}
"""The one table from an error to its gRPC status; a test proves it complete."""
