"""A reading room in the loop of a test, before a server that answers when it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Self

import httpx

from medxgan.client.results import Explanation
from medxgan.web.application import reading_room
from medxgan.web.settings import RoomSettings


class Upstream:
    """In the place of an AsyncClient.

    Attributes:
        explanation: that is given.
        asked: is set when an explanation is asked for.
        ready: is set by the test when it is to come.
        tokens: those that connections were opened with.
        closed: how many were closed.
    """

    def __init__(self, explanation: Explanation | None = None) -> None:
        self.explanation = explanation
        self.asked, self.ready = asyncio.Event(), asyncio.Event()
        self.tokens: list[str] = []
        self.closed = 0

    def connect(self, token: str) -> "Upstream":
        self.tokens.append(token)
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def close(self) -> None:
        self.closed += 1

    async def models(self) -> list[object]:
        return []

    async def model(self, *_: object) -> SimpleNamespace:
        classification = SimpleNamespace(positive_class="lesion")
        return SimpleNamespace(
            model=SimpleNamespace(name="phantom", version="3"), bundle=SimpleNamespace(classification=classification)
        )

    async def explain_stream(self, *_: object, **_options: object) -> AsyncIterator[Explanation]:
        self.asked.set()
        await self.ready.wait()
        assert self.explanation is not None
        yield self.explanation


@asynccontextmanager
async def inside(upstream: Upstream, settings: RoomSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A reader before such a room, who has not come in yet."""
    app = reading_room(settings, upstream.connect)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as reader,
    ):
        yield reader
