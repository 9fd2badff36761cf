"""Explanations of a film: asked for, followed, fetched, questioned."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from medxgan.client.async_client import AsyncClient
from medxgan.client.errors import MedxganClientError
from medxgan.client.geometry import GeometryError, PixelSpacing
from medxgan.client.images import Image
from medxgan.client.pictures.panel import write_panel
from medxgan.client.pictures.report import report
from medxgan.client.results import Explanation
from medxgan.web import plain
from medxgan.web.dicom_results import archived_results, obstacle
from medxgan.web.errors import FieldError, MissingError, ResultsError, RoomError, described
from medxgan.web.event_stream import Event, EventStream
from medxgan.web.grey_scale import grey_scale
from medxgan.web.region import bright_is_high, erased, read_outline, shares
from medxgan.web.reports import finite
from medxgan.web.room import Room, client_of, explanation_of, film_of, json_of, room_of
from medxgan.web.sessions import HeldExplanation, HeldFilm
from medxgan.web.upright import upright
from medxgan.web.wishes import Wish, read_wish, text

log = logging.getLogger(__name__)


async def explain(request: Request) -> Response:
    """An explanation by server-sent events: "progress" after every block of steps, then "result" or "error"."""
    film, wish = film_of(request), read_wish(await json_of(request))
    image = Image(film.content, frame=film.film.frame)

    async def decoded() -> HeldFilm:
        return film

    return EventStream(explanation_events(room_of(request), client_of(request), image, decoded, wish))


async def explanation_events(
    room: Room, client: AsyncClient, image: Image, decoded: Callable[[], Awaitable[HeldFilm]], wish: Wish
) -> AsyncGenerator[Event, None]:
    """What happens while an image is explained: "progress" after every block of steps, then "result" or "error".

    Args:
        room: that holds the explanation.
        client: asks for it.
        image: what is explained.
        decoded: waits for the film of that image, which holds the explanation.
        wish: what is asked for.
    """
    begun = time.monotonic()
    outcome = "left"
    try:
        description = await client.model(wish.model, wish.version)
        stream = client.explain_stream(
            image,
            model=description.model.name,
            version=description.model.version,
            maps=wish.maps,
            settings=wish.settings,
            trajectory=wish.trajectory,
        )
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, Explanation):
                    film = await decoded()
                    shown = film.film
                    grey = await asyncio.to_thread(grey_scale, shown, event)
                    # The film may have been turned before and while that was fitted. The answer says 0 of a single one.
                    if film.film is not shown or shown.frame != max(event.geometry.frame, 1):
                        raise MissingError("another frame of the film is shown by now: run it again")
                    held = HeldExplanation(event, description.bundle.classification.positive_class, grey)
                    room.sessions.add_explanation(film, held)
                    outcome = "explained"
                    yield "result", plain.explanation(held)
                else:
                    yield "progress", plain.progress(event)
    except (MedxganClientError, RoomError) as error:
        _, told = described(error)
        outcome = str(told["kind"])
        yield "error", told
    finally:
        log.info("explanation outcome=%s seconds=%.3f", outcome, time.monotonic() - begun)


async def described_again(request: Request) -> Response:
    """An explanation, but its pixels."""
    return JSONResponse(plain.explanation(explanation_of(request)))


async def values(request: Request) -> Response:
    """Maps, one after the other: float32, row by row, little-endian. The path names them, with commas between."""
    result = explanation_of(request).explanation
    held, named = {kind.value: kind for kind in result.maps}, request.path_params["kinds"].split(",")
    if not held.keys() >= set(named):
        raise MissingError("this explanation does not hold the map: run it again with it")
    return floats(np.concatenate([result[held[name]].ravel() for name in named]))


async def trajectory(request: Request) -> Response:
    """The pictures of the trajectory, one after the other: float32 [N, S, S]."""
    frames = explanation_of(request).explanation.trajectory
    if not frames:
        raise MissingError("this explanation has no trajectory: run it again with one")
    return floats(np.stack([frame.array() for frame in frames]))


def floats(array: NDArray[np.floating[Any]]) -> Response:
    """An array as float32, row by row, little-endian."""
    return Response(array.astype("<f4", copy=False).tobytes(), media_type="application/octet-stream")


async def panel(request: Request) -> Response:
    """The panel of an explanation, as `medxgan explain` writes it."""
    held, picture = explanation_of(request), BytesIO()
    await asyncio.to_thread(write_panel, held.explanation, picture, positive_class=held.positive_class)
    return _download(picture.getvalue(), "image/png", "panel.png")


async def as_report(request: Request) -> Response:
    """Everything in an explanation but its pixels, as `medxgan explain` writes it."""
    document = report(explanation_of(request).explanation, {}, image=film_of(request).content)
    content = json.dumps(document, indent=2, ensure_ascii=False).encode()
    return _download(content, "application/json", "explanation.json")


async def as_dicom(request: Request) -> Response:
    """The Secondary Capture and the structured report of an explanation, as a zip file."""
    film, result = film_of(request), explanation_of(request).explanation
    if reason := obstacle(film):
        raise ResultsError(reason)
    return _download(await asyncio.to_thread(archived_results, film.content, result), "application/zip", "dicom.zip")


def _download(content: bytes, media_type: str, name: str) -> Response:
    return Response(content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


async def region(request: Request) -> Response:
    """The share of every map inside a region."""
    held = explanation_of(request)
    outline = read_outline((await json_of(request)).get("outline"))
    try:
        return JSONResponse(await asyncio.to_thread(shares, held.explanation, outline))
    except GeometryError as error:
        raise FieldError("outline", f"maps that lie on the film, but {error}") from error


async def erase(request: Request) -> Response:
    """The score of the film with a region erased, and of the whole film sent in the same way."""
    client, shown, told = client_of(request), film_of(request).film, await json_of(request)
    outline = read_outline(told.get("outline"))
    scores = {}
    for name in ("whole", "erased"):
        levels = shown.levels if name == "whole" else await asyncio.to_thread(erased, shown, outline)
        picture = upright(bright_is_high(shown, levels), shown.orientation)
        aspect = shown.aspect if shown.orientation < 5 else 1 / shown.aspect
        image = Image(np.ascontiguousarray(picture), pixel_spacing=PixelSpacing(aspect, 1.0))
        answer = await client.classify(image, model=text(told, "model"), version=text(told, "version"))
        scores[name] = {"probability": finite(answer.score.probability), "positive": answer.score.positive}
    return JSONResponse(scores)


ROUTES = [
    Route("/api/films/{film}/explanations", explain, methods=["POST"]),
    Route("/api/films/{film}/erased", erase, methods=["POST"]),
    Route("/api/films/{film}/explanations/{explanation}", described_again),
    Route("/api/films/{film}/explanations/{explanation}/maps/{kinds}", values),
    Route("/api/films/{film}/explanations/{explanation}/trajectory", trajectory),
    Route("/api/films/{film}/explanations/{explanation}/panel.png", panel),
    Route("/api/films/{film}/explanations/{explanation}/explanation.json", as_report),
    Route("/api/films/{film}/explanations/{explanation}/dicom.zip", as_dicom),
    Route("/api/films/{film}/explanations/{explanation}/region", region, methods=["POST"]),
]
