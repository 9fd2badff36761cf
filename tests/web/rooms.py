"""Opening a reading room, coming in, and hearing of an explanation."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import httpx
import uvicorn

from medxgan.client.async_client import AsyncClient
from medxgan.web.application import reading_room
from medxgan.web.settings import RoomSettings

LOOPBACK = frozenset({"127.0.0.1"})

Opening = Callable[..., AbstractContextManager[str]]


@contextmanager
def opened(address: str, settings: RoomSettings) -> Iterator[str]:
    """The URL of a reading room before the server at `address`."""
    app = reading_room(settings, lambda token: AsyncClient(address, patience=0, token=token or None))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, access_log=False, log_config=None, ws="none", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="reading room")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def entered(url: str) -> Iterator[httpx.Client]:
    """A client with a session."""
    with httpx.Client(base_url=url, timeout=60) as client:
        client.post("/api/session").raise_for_status()
        yield client


def events(response: httpx.Response) -> Iterator[tuple[str, dict[str, object]]]:
    """The server-sent events of a response."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def explained(reader: httpx.Client, film: str, **wish: object) -> dict[str, object]:
    """The last event's content of an explanation, which is its result."""
    with reader.stream("POST", f"/api/films/{film}/explanations", json=wish) as response:
        assert response.status_code == 200, response.read()
        *_, (name, told) = events(response)
    assert name == "result", told
    return told
