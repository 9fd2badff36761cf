"""A caller that leaves, or whose time is up, frees the server."""

import _thread
import asyncio
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from tests.client.clients import waiting_events

from medxgan.client import AsyncClient, Client, DeadlineExceededError, Progress


def test_a_caller_who_stops_listening_frees_the_server(service, client, grey) -> None:
    class StopListeningError(Exception):
        pass

    def stop(_: Progress) -> None:
        raise StopListeningError

    released = threading.Event()
    service.events = waiting_events(released)
    with pytest.raises(StopListeningError):
        client.explain_stream(grey, on_progress=stop)
    dropped = service.dropped.wait(60)
    released.set()
    assert dropped


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C interrupts; what is started in the background of a shell ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_frees_the_server(service, grey) -> None:
    service.hold.clear()

    def interrupt() -> None:
        while not service.requests:
            time.sleep(0.01)
        _thread.interrupt_main()

    # Python gives Ctrl-C to the main thread, in which the test runs.
    with Client(service.address) as client:
        threading.Thread(target=interrupt, daemon=True).start()
        # The exception is kept, and with it the call: that it is forgotten must not be what ends it.
        with pytest.raises(KeyboardInterrupt) as kept:
            client.explain(grey)
        assert service.requests
        assert service.dropped.wait(60)
    assert kept.traceback


@pytest.mark.parametrize("method", ["explain", "classify"])
def test_a_cancelled_task_frees_the_server(service, grey, method) -> None:
    service.hold.clear()

    async def run() -> None:
        async with AsyncClient(service.address) as client:
            task = asyncio.create_task(getattr(client, method)(grey))
            while not service.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(service.dropped.wait, 60)

    asyncio.run(run())


def test_a_cancelled_task_frees_the_server_in_a_stream(service, grey) -> None:
    released = threading.Event()
    service.events = waiting_events(released)

    async def run() -> None:
        async with AsyncClient(service.address) as client:
            begun = asyncio.Event()

            async def follow() -> None:
                async for _ in client.explain_stream(grey):
                    begun.set()

            task = asyncio.create_task(follow())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(service.dropped.wait, 60)

    try:
        asyncio.run(run())
    finally:
        released.set()


def test_the_timeout_ends_a_call(service, make, grey) -> None:
    service.hold.clear()
    with make(service.address, timeout=0.2) as client, pytest.raises(DeadlineExceededError):
        client.explain(grey)
