"""The gallery's paths."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from medxgan.web.explanation_paths import floats
from medxgan.web.room import gallery_of


async def listed(request: Request) -> Response:
    """The explanations of the folder."""
    return JSONResponse(await asyncio.to_thread(gallery_of(request).entries))


async def described(request: Request) -> Response:
    """One of them."""
    gallery = gallery_of(request)
    return JSONResponse(await asyncio.to_thread(gallery.explanation, request.path_params["explanation"]))


async def values(request: Request) -> Response:
    """A map of it: float32, row by row, little-endian."""
    gallery, named = gallery_of(request), request.path_params
    return floats(await asyncio.to_thread(gallery.values, named["explanation"], named["kind"]))


ROUTES = [
    Route("/api/gallery", listed),
    Route("/api/gallery/{explanation}", described),
    Route("/api/gallery/{explanation}/maps/{kind}", values),
]
