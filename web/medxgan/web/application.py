"""The reading room as an ASGI application: which path leads where."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from pydicom.config import disable_value_validation
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from medxgan.client.async_client import AsyncClient
from medxgan.client.errors import MedxganClientError
from medxgan.web import (
    archive_paths,
    arrival_paths,
    explanation_paths,
    film_paths,
    gallery_paths,
    gateway_paths,
    model_paths,
    report_paths,
    session_paths,
)
from medxgan.web.archive import StudyArchive
from medxgan.web.decoding.confined import prepare
from medxgan.web.errors import RoomError, answer_error
from medxgan.web.gallery import Gallery
from medxgan.web.gateway import Gateway
from medxgan.web.guarding import Door, Guard
from medxgan.web.reports.report_folder import ReportFolder
from medxgan.web.reports.thumbnails import Thumbnails
from medxgan.web.room import Room
from medxgan.web.sessions import Session, Sessions
from medxgan.web.settings import RoomSettings

SWEEP_SECONDS = 30.0
"""How often sessions that nobody uses are looked for, beside whenever one is asked for."""


def reading_room(settings: RoomSettings, connect: Callable[[str], AsyncClient]) -> Starlette:
    """The application.

    Args:
        settings: how it is run.
        connect: opens a connection to the medxgan server, in the event loop, that shows a reader's own token; an empty
            one stands for the room's own credentials.
    """
    closing: set[asyncio.Task[None]] = set()

    def close(session: Session) -> None:
        if session.client is not None:
            task = asyncio.get_running_loop().create_task(session.client.close())
            closing.add(task)
            task.add_done_callback(closing.discard)

    sessions = Sessions(settings.limits, on_end=close)

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        async with connect("") as client, AsyncExitStack() as stack:
            gallery = Gallery(settings.folder) if settings.folder is not None else None
            report = None
            if settings.report is not None:
                report = ReportFolder(settings.report, settings.report_films, settings.limits.film_bytes)
            gateway = None
            if settings.gateway is not None:
                gateway = Gateway(settings.gateway, settings.gateway_token, settings.limits.film_bytes)
            archive = None
            if settings.archive is not None:
                # An ill-formed value is none of our business, and a warning would quote it. For as long as the room is
                # open, since pydicom's switch is one for all threads.
                stack.enter_context(disable_value_validation())
                user, password_file = settings.archive_user, settings.archive_password_file
                archive = StudyArchive(settings.archive, user, password_file, settings.limits.film_bytes)
            door = Door(sessions, settings)
            thumbnails = Thumbnails(settings.limits.thumbnail_bytes, settings.limits.film_pixels)
            app.state.room = Room(
                settings, sessions, door, client, connect, thumbnails, gallery, gateway, report, archive
            )
            await asyncio.to_thread(prepare)
            sweeping = asyncio.create_task(_sweep(sessions))
            try:
                yield
            finally:
                sweeping.cancel()
                with suppress(asyncio.CancelledError):
                    await sweeping
                sessions.end_all()
                await asyncio.gather(*closing)
                if gateway is not None:
                    await gateway.close()

    paths = (
        session_paths,
        film_paths,
        arrival_paths,
        explanation_paths,
        model_paths,
        gallery_paths,
        report_paths,
        gateway_paths,
        archive_paths,
    )
    return Starlette(
        routes=[
            *(route for each in paths for route in each.ROUTES),
            Mount("/", StaticFiles(packages=[("medxgan.web", "static")], html=True)),
        ],
        middleware=[Middleware(Guard, settings=settings)],
        exception_handlers={RoomError: answer_error, MedxganClientError: answer_error},
        lifespan=running,
    )


async def _sweep(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        sessions.end_idle()
