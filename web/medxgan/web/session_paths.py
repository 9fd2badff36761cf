"""Coming in and going: a session begins by POST and ends by DELETE."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from medxgan.client.async_client import AsyncClient
from medxgan.client.errors import CredentialsError, RefusedError
from medxgan.web.errors import FullError, SignInError
from medxgan.web.room import Room, json_of, room_of
from medxgan.web.wishes import text


async def state(request: Request) -> Response:
    """Whether there is a session, and what this reading room has."""
    room = room_of(request)
    settings = room.settings
    return JSONResponse(
        {
            "signed_in": room.door.knows(request),
            "asks_for_token": settings.asks_for_token,
            "samples": 1 + len(settings.samples),
            "gallery": room.gallery is not None,
            "report": room.report is not None,
            "gateway": room.gateway is not None,
            "archive": room.archive is not None,
            "session_minutes": settings.limits.session_seconds / 60,
            "film_bytes": settings.limits.film_bytes,
        }
    )


async def enter(request: Request) -> Response:
    """Begin a session; with the token, where one is asked for.

    Who has one goes on with it, unless they show a token of their own of the server: it may be another reader's.
    """
    room, response = room_of(request), Response(status_code=204)
    token = text(await json_of(request), "token")
    if not token and room.door.knows(request):
        return response
    room.door.check(token)
    if not room.settings.own_tokens:
        if not room.door.knows(request):
            room.door.give(request, response, room.sessions.open())
        return response
    client = await _own_client(room, token)
    room.door.end(request)
    try:
        session = room.sessions.open(client)
    except FullError:
        await client.close()
        raise
    room.door.give(request, response, session)
    return response


async def _own_client(room: Room, token: str) -> AsyncClient:
    """A connection by which a reader asks with a token of their own; raises SignInError where the server refuses it."""
    if not token:
        raise SignInError("sign in with your token of the medxgan server")
    try:
        client = room.connect(token)
    except CredentialsError as error:
        raise SignInError(str(error)) from error
    try:
        await client.models()
    except BaseException as error:
        await client.close()
        if isinstance(error, RefusedError | CredentialsError):
            raise SignInError("the medxgan server does not let this token in") from error
        raise
    return client


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
