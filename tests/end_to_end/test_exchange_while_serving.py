"""Tokens, keys and roles are exchanged while a server answers, and what fails at that changes nothing."""

import secrets
import socket
import threading
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode
from tests.end_to_end.guarded import NO_MODEL, TOKEN, UNKNOWN, Issuer, Stream, asked, guarded, identities, issued, known

from medxgan.client import UnavailableError
from medxgan.server.identity.tokens import digest


def test_tokens_are_exchanged_while_serving_and_a_broken_file_changes_nothing(
    guarded_address: str, identities_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new = secrets.token_hex(32)
    identities(identities_file, known("viewer", tokens=digest(new)))
    assert asked(guarded_address, TOKEN) == UNKNOWN
    assert asked(guarded_address, new) == ""
    identities(identities_file, "[identities.viewer]\nroles = ['everything']")
    assert asked(guarded_address, new) == ""
    assert asked(guarded_address, new) == ""
    identities_file.unlink()
    assert asked(guarded_address, new) == ""
    told = [line.msg["reason"] for line in caplog.records if line.levelname == "ERROR"]
    assert len(told) == 2
    assert "identities.viewer.roles" in told[0]
    assert "No such file" in told[1]
    identities(identities_file, known("viewer", roles="admin", tokens=digest(new)))
    assert "takes the role explain" in asked(guarded_address, new)


@pytest.mark.parametrize(
    ("tables", "code"),
    [
        ([known("another", tokens=digest("x" * 64))], StatusCode.UNAUTHENTICATED),
        ([known("viewer", roles="admin", tokens=digest(TOKEN))], StatusCode.PERMISSION_DENIED),
    ],
)
def test_a_stream_ends_at_the_first_request_of_one_who_may_send_none_any_more(
    guarded_address: str, identities_file: Path, tables: list[str], code: StatusCode
) -> None:
    with grpc.insecure_channel(guarded_address) as channel:
        stream = Stream(channel)
        assert [stream.ask(), stream.ask()] == [NO_MODEL, NO_MODEL]
        identities(identities_file, *tables)
        with pytest.raises(grpc.RpcError):
            stream.ask()
        assert stream.call.code() is code
        stream.requests.put(None)


def test_keys_in_a_file_are_exchanged_while_serving(guarded_address: str, identities_file: Path) -> None:
    other = Issuer()
    identities_file.with_name("keys.json").write_bytes(other.key_set())
    assert asked(guarded_address, other.token()) == ""
    identities_file.with_name("keys.json").write_bytes(b"{}")
    assert asked(guarded_address, other.token()) == ""


def test_keys_at_an_address_are_exchanged_while_serving(identities_file: Path) -> None:
    issuer = Issuer()
    with issuer.serving() as keys, guarded(identities=identities(identities_file, issued(issuer, keys))) as address:
        assert asked(address, issuer.token()) == ""
        first = issuer.token()
        issuer.renew("second")
        assert asked(address, issuer.token()) == ""
        assert asked(address, first) == UNKNOWN, "the issuer has withdrawn the key"
        issuer.answers = False
        assert asked(address, issuer.token()) == "", "the keys in force stay"


def test_who_names_keys_that_there_are_not_does_not_reach_the_issuer(identities_file: Path) -> None:
    issuer = Issuer()
    table = issued(issuer, "KEYS", refresh_seconds=3600)
    with (
        issuer.serving() as keys,
        guarded(identities=identities(identities_file, table.replace("KEYS", keys))) as address,
    ):
        for number in range(20):
            assert asked(address, issuer.forged({"alg": "RS256", "kid": str(number)}, b"key")) == UNKNOWN
        assert issuer.downloads == 1
        assert asked(address, issuer.token()) == ""


def test_a_server_starts_without_its_issuer_and_says_that_a_token_can_not_be_checked(
    identities_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer()
    issuer.answers = False
    table = known("viewer", tokens=digest(TOKEN))
    with (
        issuer.serving() as keys,
        guarded(identities=identities(identities_file, table, issued(issuer, keys))) as address,
    ):
        for _ in range(3):
            with pytest.raises(UnavailableError, match="can't be had at the moment"):
                asked(address, issuer.token())
        assert asked(address, TOKEN) == "", "whose token needs no issuer is answered"
        assert [line.msg["event"] for line in caplog.records if line.levelname == "ERROR"] == ["keys_not_reloaded"]
        issuer.answers = True
        assert asked(address, issuer.token()) == ""


def test_keys_are_not_taken_from_where_a_redirect_leads(identities_file: Path) -> None:
    issuer = Issuer()
    with issuer.serving() as keys, socket.create_server(("127.0.0.1", 0)) as listening:
        redirecting = threading.Thread(target=redirect_once, args=(listening, keys))
        redirecting.start()
        stated = f"http://127.0.0.1:{listening.getsockname()[1]}/keys"
        with (
            guarded(identities=identities(identities_file, issued(issuer, stated, refresh_seconds=3600))) as address,
            pytest.raises(UnavailableError),
        ):
            asked(address, issuer.token())
        redirecting.join()
    assert issuer.downloads == 0


def redirect_once(listening: socket.socket, target: str) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
