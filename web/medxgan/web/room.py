"""What every path of the reading room works with."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request

from medxgan.client.async_client import AsyncClient
from medxgan.web.archive import StudyArchive
from medxgan.web.errors import FieldError, MissingError
from medxgan.web.gallery import Gallery
from medxgan.web.gateway import Gateway
from medxgan.web.guarding import Door
from medxgan.web.reports.report_folder import ReportFolder
from medxgan.web.reports.thumbnails import Thumbnails
from medxgan.web.sessions import HeldExplanation, HeldFilm, Session, Sessions
from medxgan.web.settings import RoomSettings

Part = TypeVar("Part")

MAXIMUM_JSON = 1024 * 1024
"""Bytes of a request that is no film."""


@dataclass(frozen=True, eq=False)
class Room:
    """The reading room of one process.

    Attributes:
        client: the connection by which those ask who have none of their own.
        connect: opens a connection that shows a token; empty for the room's own credentials.
        thumbnails: of the report's films.
    """

    settings: RoomSettings
    sessions: Sessions
    door: Door
    client: AsyncClient
    connect: Callable[[str], AsyncClient]
    thumbnails: Thumbnails
    gallery: Gallery | None
    gateway: Gateway | None = None
    report: ReportFolder | None = None
    archive: StudyArchive | None = None


def room_of(request: Request) -> Room:
    """The room that a request came to."""
    room: Room = request.app.state.room
    return room


def session_of(request: Request) -> Session:
    """The session of a request; raises SignInError."""
    return room_of(request).door.session(request)


def client_of(request: Request) -> AsyncClient:
    """The connection by which the reader asks; raises SignInError."""
    return session_of(request).client or room_of(request).client


def film_of(request: Request) -> HeldFilm:
    """The film that the path names, in the session of the request; raises MissingError."""
    return session_of(request).film(request.path_params["film"])


def explanation_of(request: Request) -> HeldExplanation:
    """The explanation that the path names; raises MissingError."""
    return film_of(request).explanation(request.path_params["explanation"])


def gallery_of(request: Request) -> Gallery:
    """The gallery; raises MissingError where there is none."""
    return _there(request, room_of(request).gallery, "gallery", "--folder")


def gateway_of(request: Request) -> Gateway:
    """The gateway; raises MissingError where there is none."""
    return _there(request, room_of(request).gateway, "gateway", "--gateway")


def report_of(request: Request) -> ReportFolder:
    """The report; raises MissingError where there is none."""
    return _there(request, room_of(request).report, "report", "--report")


def archive_of(request: Request) -> StudyArchive:
    """The archive; raises MissingError where there is none."""
    return _there(request, room_of(request).archive, "archive", "--archive")


def _there(request: Request, part: Part | None, name: str, option: str) -> Part:
    """A part that not every room has, for who has a session."""
    session_of(request)
    if part is None:
        raise MissingError(f"this reading room has no {name}: start it with {option}")
    return part


async def body_of(request: Request, maximum: int, what: str, *, beside: int = 0) -> bytes:
    """The whole body, within bounds; raises FieldError before more than that is held.

    Args:
        request: whose body it is.
        maximum: bytes of what is wanted.
        what: is wanted, for the error.
        beside: further bytes, of what comes with it.
    """
    received = bytearray()
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > maximum + beside:
        raise FieldError(what, f"at most {maximum:,} bytes")
    async for part in request.stream():
        received += part
        if len(received) > maximum + beside:
            raise FieldError(what, f"at most {maximum:,} bytes")
    return bytes(received)


def announced(request: Request, maximum: int) -> int:
    """Bytes that the body of a request has by its header; `maximum` where it does not say, or says more."""
    stated = request.headers.get("content-length", "")
    return min(int(stated), maximum) if stated.isdecimal() else maximum


async def json_of(request: Request) -> dict[str, Any]:
    """The body as a JSON object; raises FieldError."""
    return json_object(await body_of(request, MAXIMUM_JSON, "body") or b"{}", "body")


def json_object(content: bytes, what: str) -> dict[str, Any]:
    """A JSON object; raises FieldError."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FieldError(what, "a JSON object") from error
    if not isinstance(value, dict):
        raise FieldError(what, "a JSON object")
    return value
