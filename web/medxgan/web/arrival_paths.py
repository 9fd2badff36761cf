"""A film that comes in with what is wished of it: the server explains it while it is decoded here."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from medxgan.client.async_client import AsyncClient
from medxgan.client.images import Image
from medxgan.web import plain
from medxgan.web.errors import FieldError, FilmError, RoomError, described
from medxgan.web.event_stream import Event, EventStream
from medxgan.web.explanation_paths import explanation_events
from medxgan.web.film_paths import held
from medxgan.web.room import MAXIMUM_JSON, announced, body_of, client_of, json_object, room_of, session_of
from medxgan.web.wishes import Wish, read_wish


async def bring(request: Request) -> Response:
    """A wish as a line of JSON, then a film's file. Events: "film" once it is decoded, then those of an explanation."""
    room = room_of(request)
    room.sessions.check_room(session_of(request))
    limit = room.settings.limits.film_bytes
    with room.sessions.arriving(announced(request, limit + MAXIMUM_JSON)):
        body = await body_of(request, limit, "film", beside=MAXIMUM_JSON)
    line, _, content = body.partition(b"\n")
    wish = read_wish(json_object(line, "wish"))
    if not content:
        raise FilmError("the file is empty")
    if len(content) > limit:
        raise FieldError("film", f"at most {limit:,} bytes")
    return EventStream(_events(request, client_of(request), content, wish))


async def _events(request: Request, client: AsyncClient, content: bytes, wish: Wish) -> AsyncGenerator[Event, None]:
    decoding = asyncio.create_task(held(request, content, ""))
    # What is told before the film is there waits here.
    told: asyncio.Queue[Event | None] = asyncio.Queue()

    async def explain() -> None:
        # Which frames the file has is not known yet: the first one is what is shown.
        image = Image(content, frame=1)
        try:
            async with aclosing(explanation_events(room_of(request), client, image, lambda: decoding, wish)) as events:
                async for event in events:
                    told.put_nowait(event)
        finally:
            told.put_nowait(None)

    explaining = asyncio.create_task(explain())
    try:
        try:
            film = await decoding
        except RoomError as error:
            yield "error", described(error)[1]
            return
        yield "film", plain.film(film)
        while (event := await told.get()) is not None:
            yield event
        await explaining
    finally:
        for task in (explaining, decoding):
            task.cancel()
        await asyncio.gather(explaining, decoding, return_exceptions=True)


ROUTES = [Route("/api/explanations", bring, methods=["POST"])]
