"""The paths of the films that a gateway holds."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from medxgan.client.errors import MedxganClientError
from medxgan.client.results import Explanation
from medxgan.web import plain
from medxgan.web.errors import FullError
from medxgan.web.film_paths import held
from medxgan.web.grey_scale import grey_scale
from medxgan.web.room import client_of, gateway_of, room_of, session_of
from medxgan.web.sessions import HeldExplanation


async def listed(request: Request) -> Response:
    """The films that the gateway holds."""
    return JSONResponse(await gateway_of(request).films())


async def bring(request: Request) -> Response:
    """One of them, with its explanation where the gateway keeps one: nothing is computed anew."""
    room, gateway = room_of(request), gateway_of(request)
    room.sessions.check_room(session_of(request))
    number = request.path_params["number"]
    with room.sessions.arriving(room.settings.limits.film_bytes):
        content, model = await gateway.film(number)
    film, explanation = await held(request, content, model), await gateway.explanation(number)
    if explanation is not None:
        grey = await asyncio.to_thread(grey_scale, film.film, explanation)
        kept = HeldExplanation(explanation, await _positive_class(request, explanation), grey)
        try:
            room.sessions.add_explanation(film, kept)
        except FullError:
            session_of(request).films.pop(film.id, None)
            raise
    return JSONResponse(plain.film(film), 201)


async def _positive_class(request: Request, explanation: Explanation) -> str:
    """What the model calls a positive image."""
    model = explanation.model
    try:
        description = await client_of(request).model(model.name, model.version)
    except MedxganClientError:
        # The server may be away: what it said before is shown all the same.
        return explanation.settings.target_class or "positive"
    return description.bundle.classification.positive_class


ROUTES = [
    Route("/api/gateway", listed),
    Route("/api/gateway/{number:int}", bring, methods=["POST"]),
]
