"""Coming in and going: a session begins by POST and ends by DELETE."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from medxgan.web.errors import SignInError
from medxgan.web.room import json_of, room_of
from medxgan.web.wishes import text


async def state(request: Request) -> Response:
    """Whether there is a session, and what this reading room has."""
    room = room_of(request)
    try:
        room.door.session(request)
        signed_in = True
    except SignInError:
        signed_in = False
    settings = room.settings
    return JSONResponse(
        {
            "signed_in": signed_in,
            "asks_for_token": bool(settings.access_token),
            "samples": 1 + len(settings.samples),
            "gallery": room.gallery is not None,
            "session_minutes": settings.limits.session_seconds / 60,
            "film_bytes": settings.limits.film_bytes,
        }
    )


async def enter(request: Request) -> Response:
    """Begin a session; with the token, where one is asked for."""
    response = Response(status_code=204)
    room_of(request).door.enter(request, response, text(await json_of(request), "token"))
    return response


async def leave(request: Request) -> Response:
    """End the session: its films are gone."""
    response = Response(status_code=204)
    room_of(request).door.leave(request, response)
    return response


ROUTES = [
    Route("/api/session", state),
    Route("/api/session", enter, methods=["POST"]),
    Route("/api/session", leave, methods=["DELETE"]),
]
