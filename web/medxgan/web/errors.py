"""What can go wrong, in words for a person: this room's own errors, and those of the client, as HTTP answers.

RoomError
├── FilmError          not an image, or one that can't be read or is too large
├── SignInError        nobody has signed in, or by a wrong token
├── OriginError        the request comes from another site
├── MissingError       no such film, explanation or map in this session
├── FullError          a limit of what is held is reached
├── GatewayError       the gateway does not answer, or does not let this room in
├── ArchiveError       the archive does not answer, or does not have the study
├── ReportError        the report's folder is none, or can't be read
├── ResultsError       no DICOM objects can be made of the film
└── FieldError         a field of a request is wrong
"""

from collections.abc import Mapping
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse

from medxgan.client.errors import (
    BusyError,
    CredentialsError,
    DeadlineExceededError,
    InvalidRequestError,
    MedxganClientError,
    NotFoundError,
    RefusedError,
    ServerFaultError,
    UnavailableError,
    UnsupportedError,
)


class RoomError(Exception):
    """Base of this room's errors; the message is for a person."""

    status: ClassVar[int] = 400
    kind: ClassVar[str] = "request"


class FilmError(RoomError):
    """A file is no film that can be shown."""

    status, kind = 415, "film"


class SignInError(RoomError):
    """Nobody has signed in, or by a wrong token."""

    status, kind = 401, "sign_in"


class OriginError(RoomError):
    """The request comes from another site."""

    status, kind = 403, "origin"


class MissingError(RoomError):
    """No such thing in this session."""

    status, kind = 404, "missing"


class FullError(RoomError):
    """A limit of what is held is reached."""

    status, kind = 409, "full"


class GatewayError(RoomError):
    """The gateway does not answer, or does not let this room in."""

    status, kind = 502, "gateway"


class ArchiveError(RoomError):
    """The archive does not answer, or does not have the study."""

    status, kind = 502, "archive"


class ReportError(RoomError):
    """The report's folder is none, or can't be read."""

    status, kind = 500, "report"


class ResultsError(RoomError):
    """No DICOM objects can be made of the film; `reason` is for a person."""

    status, kind = 422, "results"

    def __init__(self, reason: str) -> None:
        super().__init__(f"no DICOM objects can be made: {reason}")


class FieldError(RoomError):
    """A field of a request is wrong.

    Args:
        field: its path: "settings.steps".
        expected: what was expected there.
    """

    status, kind = 422, "field"

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field


CLIENT_ERRORS: Mapping[type[MedxganClientError], tuple[int, str]] = {
    InvalidRequestError: (422, "field"),
    NotFoundError: (404, "missing"),
    UnsupportedError: (422, "unsupported"),
    RefusedError: (502, "refused"),
    CredentialsError: (502, "refused"),
    BusyError: (503, "busy"),
    UnavailableError: (503, "away"),
    DeadlineExceededError: (504, "late"),
    ServerFaultError: (502, "fault"),
    MedxganClientError: (502, "fault"),
}
"""The one table from the client's errors to a status and a kind; a test proves it complete."""


def described(error: RoomError | MedxganClientError) -> tuple[int, dict[str, object]]:
    """The status of an error, and what the browser is told: its kind, its message, what else it holds."""
    if isinstance(error, RoomError):
        status, kind = error.status, error.kind
    else:
        status, kind = next(CLIENT_ERRORS[each] for each in type(error).__mro__ if each in CLIENT_ERRORS)
    told: dict[str, object] = {"kind": kind, "message": str(error)}
    for name in ("field", "retry_delay"):
        if (value := getattr(error, name, None)) is not None:
            told[name] = value
    return status, told


async def answer_error(_request: Request, error: Exception) -> JSONResponse:
    """An error as JSON."""
    assert isinstance(error, RoomError | MedxganClientError)  # noqa: S101 (registered for these)
    status, told = described(error)
    return JSONResponse({"error": told}, status)
