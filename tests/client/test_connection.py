"""The connection: whether somebody is there, how often that is checked, and what lies between."""

import socket

import pytest

from medxgan.client import UnavailableError
from medxgan.client.connection import KEEPALIVE, proxy_hint


@pytest.mark.slow
def test_a_silent_connection_is_checked_as_often_as_said(service, make, grey) -> None:
    # Checked ten times a second, a server that is set up no further complains.
    service.hold.clear()
    with (
        make(service.address, keepalive=0.1, patience=0, timeout=60) as client,
        pytest.raises(UnavailableError, match=r"(?i)too_many_pings|too many pings"),
    ):
        client.explain(grey)


def test_the_connection_is_not_checked_more_often_than_any_server_allows() -> None:
    # 300 seconds: gRPC's default for GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS.
    assert KEEPALIVE > 300


def test_no_server_is_said_to_be_unavailable(make) -> None:
    with socket.socket() as taken:
        # Bound but not listening: nobody answers there, and nobody else can take the port meanwhile.
        taken.bind(("127.0.0.1", 0))
        with make(f"127.0.0.1:{taken.getsockname()[1]}", patience=0.3) as client, pytest.raises(UnavailableError):
            client.models()


def test_loopback_is_reached_past_a_proxy(service, make, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with make(service.address, patience=0) as client:
        assert client.models()


@pytest.fixture
def no_proxies(monkeypatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_a_proxy_that_catches_a_local_address_is_named(make, no_proxies, monkeypatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}")
        with make("192.0.2.7:50051", patience=0) as client, pytest.raises(UnavailableError) as caught:
            client.models()
    assert "the variable http_proxy sends calls to 192.0.2.7 through a proxy" in str(caught.value)
    assert "add 192.0.2.7 to no_proxy" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "variables", "named"),
    [
        ("imaging:50051", {}, ""),
        ("imaging:50051", {"http_proxy": "p:1", "https_proxy": "p:1"}, "https_proxy"),
        ("dns:///imaging:50051", {"grpc_proxy": "p:1"}, "grpc_proxy"),
        ("imaging.hospital.example:50051", {"http_proxy": "p:1", "no_proxy": "a, .hospital.example"}, ""),
        ("imaging.hospital.example:50051", {"http_proxy": "p:1", "no_proxy": "a,b"}, "http_proxy"),
        ("10.1.2.3:50051", {"http_proxy": "p:1", "no_proxy": "10.0.0.0/8"}, ""),
        ("10.1.2.3:50051", {"http_proxy": "p:1", "no_grpc_proxy": "11.0.0.0/8", "no_proxy": "10.1.2.3"}, "http_proxy"),
        ("localhost:50051", {"http_proxy": "p:1"}, ""),
        ("[::1]:50051", {"http_proxy": "p:1"}, ""),
        ("unix:/run/medxgan.sock", {"http_proxy": "p:1"}, ""),
    ],
)
def test_which_proxy_catches_which_address(no_proxies, monkeypatch, address, variables, named) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    hint = proxy_hint(address)
    assert f"the variable {named} " in hint if named else not hint
