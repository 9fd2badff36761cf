"""The paths of a report."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from medxgan.web import plain
from medxgan.web.film_paths import held
from medxgan.web.room import report_of, room_of, session_of


async def listed(request: Request) -> Response:
    """The rows of the report."""
    return JSONResponse(await asyncio.to_thread(report_of(request).told))


async def bring(request: Request) -> Response:
    """The film of a row, where it is at hand; it is explained anew."""
    report = report_of(request)
    room_of(request).sessions.check_room(session_of(request))
    content, model = await asyncio.to_thread(report.film, request.path_params["row"])
    return JSONResponse(plain.film(await held(request, content, model)), 201)


async def thumbnail(request: Request) -> Response:
    """A small picture of a row's film, where it is at hand."""
    report, room = report_of(request), room_of(request)
    row, file, state = await asyncio.to_thread(report.told_film, request.path_params["row"])

    async def wanted() -> bool:
        return not await request.is_disconnected()

    picture = await room.thumbnails.of((row.sha256, state), lambda: report.content(row, file), wanted)
    return Response(picture, media_type="image/png")


ROUTES = [
    Route("/api/report", listed),
    Route("/api/report/{row}/thumbnail", thumbnail),
    Route("/api/report/{row}", bring, methods=["POST"]),
]
