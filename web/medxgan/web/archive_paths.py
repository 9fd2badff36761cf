"""The paths of an archive's studies."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from medxgan.web import plain
from medxgan.web.film_paths import held
from medxgan.web.room import archive_of, json_of, room_of, session_of


async def searched(request: Request) -> Response:
    """The studies that are searched for, a page at a time. What for is in the body: an address might be kept."""
    return JSONResponse(await archive_of(request).studies(await json_of(request)))


async def listed(request: Request) -> Response:
    """What a study holds: its films, and what is none, with the reason."""
    return JSONResponse(await archive_of(request).films(request.path_params["study"]))


async def bring(request: Request) -> Response:
    """A film of a study."""
    archive, room, named = archive_of(request), room_of(request), request.path_params
    room.sessions.check_room(session_of(request))
    with room.sessions.arriving(room.settings.limits.film_bytes):
        content = await archive.film(named["study"], named["instance"])
    return JSONResponse(plain.film(await held(request, content, "")), 201)


ROUTES = [
    Route("/api/archive", searched, methods=["POST"]),
    Route("/api/archive/{study}", listed),
    Route("/api/archive/{study}/{instance}", bring, methods=["POST"]),
]
