"""The models that are served, and what is known of each."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from medxgan.client.pictures.report import plain as plain_result
from medxgan.web import plain
from medxgan.web.room import client_of


async def listed(request: Request) -> Response:
    """The models that are served."""
    return JSONResponse([plain_result(entry) for entry in await client_of(request).models()])


async def described(request: Request) -> Response:
    """One model, the default where none is named: its purpose, figures, limits, maps and settings."""
    name, version = (request.query_params.get(part, "") for part in ("name", "version"))
    return JSONResponse(plain.model(await client_of(request).model(name, version)))


ROUTES = [Route("/api/models", listed), Route("/api/model", described)]
