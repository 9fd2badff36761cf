"""Servers that are away, busy or broken: what is asked again, how long, and what is not."""

import socket
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from grpc import StatusCode
from tests.client.clients import Blocking, retry_after, waiting_events

from medxgan.client import BusyError, Client, MedxganClientError, Progress, ServerFaultError, UnavailableError


@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.CANCELLED])
@pytest.mark.parametrize("stream", [False, True])
def test_a_server_that_was_away_is_asked_again(service, client, grey, stream, code, monkeypatch) -> None:
    monkeypatch.setattr("medxgan.client.retries.FIRST_DELAY", 0.001)
    service.fail(code, "restarting", times=2)
    explanation = client.explain_stream(grey, on_progress=lambda _: None) if stream else client.explain(grey)
    assert explanation.settings.seed == 0
    assert len(service.requests) == 3


def test_a_stream_that_was_cut_off_begins_anew(service, client, grey) -> None:
    service.break_off = 1
    heard: list[Progress] = []
    client.explain_stream(grey, on_progress=heard.append)
    assert [progress.steps_taken for progress in heard] == [80, 80, 160]


@pytest.mark.slow
def test_a_restart_of_five_seconds_is_outlasted(service, grey) -> None:
    results: dict[str, Any] = {}

    def ask(make: Any) -> None:
        with make(service.address, timeout=60) as client:
            client.models()
            ready.wait()
            down.wait(60)
            results[make.__name__] = client.explain_stream(grey, on_progress=lambda _: None)

    ready, down = threading.Barrier(3), threading.Event()
    askers = [threading.Thread(target=ask, args=(make,)) for make in (Client, Blocking)]
    for asker in askers:
        asker.start()
    ready.wait(60)
    service.stop()
    down.set()
    time.sleep(5)
    assert not results
    service.start()
    for asker in askers:
        asker.join(60)
    assert set(results) == {"Client", "Blocking"}


@pytest.mark.slow
def test_who_takes_a_connection_and_stays_silent_is_given_up(service, make, grey) -> None:
    """As a server does that hangs while it ends: the next may listen at its address already."""
    host, port = service.address.split(":")
    service.stop()
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        silent.bind((host, int(port)))
        silent.listen()

        def restart() -> None:
            held, _ = silent.accept()
            silent.close()
            service.start()
            assert service.dropped.wait(60)
            held.close()

        with make(service.address, timeout=60) as client, ThreadPoolExecutor(1) as threads:
            restarted = threads.submit(restart)
            assert client.explain(grey).settings.seed == 0
            restarted.result()


def test_a_client_that_is_closed_makes_no_call_again(service, grey) -> None:
    released, began = threading.Event(), threading.Event()
    service.events = waiting_events(released)
    ended: list[BaseException] = []

    def ask(client: Client) -> None:
        try:
            client.explain_stream(grey, on_progress=lambda _: began.set())
        except UnavailableError as error:
            ended.append(error)

    with Client(service.address) as client:
        asker = threading.Thread(target=ask, args=(client,))
        asker.start()
        began.wait(60)
    asker.join(60)
    released.set()
    assert [type(error) for error in ended] == [UnavailableError]


def test_patience_begins_with_the_first_failure_and_ends(service, make, grey) -> None:
    service.fail(StatusCode.UNAVAILABLE, "restarting", times=100)
    with make(service.address, patience=0.5) as client, pytest.raises(UnavailableError, match="restarting"):
        client.explain(grey)
    assert 2 <= len(service.requests) < 10


@pytest.mark.parametrize("hint", [0, -5])
def test_a_busy_server_that_says_at_once_is_not_besieged(service, client, grey, hint, monkeypatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("medxgan.client.client.time.sleep", waits.append)
    monkeypatch.setattr("medxgan.client.async_client.asyncio.sleep", _noted(waits))
    service.fail(StatusCode.RESOURCE_EXHAUSTED, "the queue is full", retry_after(hint), times=3)
    client.explain(grey)
    assert len(waits) == 3
    assert all(0.05 * 2**number <= wait <= 0.1 * 2**number for number, wait in enumerate(waits))


@pytest.mark.parametrize("make", [Client, Blocking])
def test_a_client_that_was_closed_says_so(service, make, grey) -> None:
    with make(service.address) as client:
        client.close()
        for ask in (client.models, lambda: client.explain_stream(grey, on_progress=lambda _: None)):
            with pytest.raises(UnavailableError, match="the client was closed"):
                ask()


def _noted(waits: list[float]) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    return sleep


def test_a_busy_server_is_asked_again_when_it_said(service, client, grey) -> None:
    service.fail(StatusCode.RESOURCE_EXHAUSTED, "the queue is full", retry_after(0.3))
    started = time.monotonic()
    client.explain(grey)
    assert time.monotonic() - started >= 0.3
    assert len(service.requests) == 2


@pytest.mark.parametrize("limit", ["timeout", "patience"])
def test_no_retry_begins_after_the_limit(service, make, grey, limit) -> None:
    service.fail(StatusCode.RESOURCE_EXHAUSTED, "the queue is full", retry_after(600))
    with make(service.address, **{limit: 60}) as client, pytest.raises(BusyError):
        client.explain(grey)
    assert len(service.requests) == 1


@pytest.mark.parametrize("code", [StatusCode.INTERNAL, StatusCode.RESOURCE_EXHAUSTED, StatusCode.INVALID_ARGUMENT])
def test_what_would_end_the_same_is_not_tried_again(service, client, grey, code) -> None:
    service.fail(code, "no")
    with pytest.raises(MedxganClientError, match="no"):
        client.explain(grey)
    assert len(service.requests) == 1


def test_a_stream_without_a_result_is_the_servers_fault(service, client, grey) -> None:
    service.events = []
    with pytest.raises(ServerFaultError, match="without a result"):
        client.explain_stream(grey, on_progress=lambda _: None)
