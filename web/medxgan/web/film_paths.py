"""Films: brought in, looked at, put away."""

import asyncio
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from medxgan.web import plain
from medxgan.web.decoding.confined import decoded
from medxgan.web.errors import FieldError, FilmError, MissingError
from medxgan.web.room import announced, body_of, film_of, json_of, room_of, session_of
from medxgan.web.sessions import HeldFilm

SHIPPED_SAMPLE, SHIPPED_SAMPLE_MODEL = "phantom.png", "phantom"


async def bring(request: Request) -> Response:
    """A film as the body of a request."""
    room, session = room_of(request), session_of(request)
    room.sessions.check_room(session)
    limit = room.settings.limits.film_bytes
    with room.sessions.arriving(announced(request, limit)):
        content = await body_of(request, limit, "film")
    if not content:
        raise FilmError("the file is empty")
    return await _hold(request, content, "")


async def bring_sample(request: Request) -> Response:
    """A film that is offered to everyone: 0 is the one that ships."""
    room, session = room_of(request), session_of(request)
    room.sessions.check_room(session)
    number = request.path_params["number"]
    if number > len(room.settings.samples):
        raise MissingError("there is no such sample film")
    if number == 0:
        content = (files("medxgan.web") / "samples" / SHIPPED_SAMPLE).read_bytes()
        return await _hold(request, content, SHIPPED_SAMPLE_MODEL)
    return await _hold(request, await asyncio.to_thread(room.settings.samples[number - 1].read_bytes), "")


async def _hold(request: Request, content: bytes, model: str) -> Response:
    return JSONResponse(plain.film(await held(request, content, model)), 201)


async def held(request: Request, content: bytes, model: str) -> HeldFilm:
    """Decode a film and hold it in the session of a request; `model` that is for it, empty where none is known."""
    room, session = room_of(request), session_of(request)
    with room.sessions.arriving(len(content)):
        film = await decoded(content, maximum_pixels=room.settings.limits.film_pixels)
    kept = HeldFilm(content, film, model)
    room.sessions.add_film(session, kept)
    return kept


async def listed(request: Request) -> Response:
    """The films of the session."""
    return JSONResponse([plain.film(each) for each in session_of(request).films.values()])


async def described(request: Request) -> Response:
    """One film."""
    return JSONResponse(plain.film(film_of(request)))


async def levels(request: Request) -> Response:
    """The grey levels of a film, row by row, little-endian."""
    shown = film_of(request).film.levels
    content = await asyncio.to_thread(lambda: shown.astype(shown.dtype.newbyteorder("<"), copy=False).tobytes())
    return Response(content, media_type="application/octet-stream")


async def turn_to_frame(request: Request) -> Response:
    """Another frame of a film; explanations of the one before go."""
    room, film = room_of(request), film_of(request)
    frame = (await json_of(request)).get("frame")
    if not isinstance(frame, int) or isinstance(frame, bool):
        raise FieldError("frame", "a whole number")
    film.film = await decoded(film.content, frame=frame, maximum_pixels=room.settings.limits.film_pixels)
    film.explanations.clear()
    return JSONResponse(plain.film(film))


async def put_away(request: Request) -> Response:
    """A film that is no longer wanted."""
    session_of(request).films.pop(film_of(request).id)
    return Response(status_code=204)


ROUTES = [
    Route("/api/films", bring, methods=["POST"]),
    Route("/api/films", listed),
    Route("/api/samples/{number:int}", bring_sample, methods=["POST"]),
    Route("/api/films/{film}", described),
    Route("/api/films/{film}", put_away, methods=["DELETE"]),
    Route("/api/films/{film}/levels", levels),
    Route("/api/films/{film}/frame", turn_to_frame, methods=["POST"]),
]
