"""What goes over the wire: TLS, certificates of both ends, and plaintext where nobody else can listen."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from cryptography import x509
from tests.end_to_end.guarded import TOKEN, Authority, Issuer, guarded, hence, identities, issued, known
from tests.end_to_end.serve_process import COMMAND, serve_process
from tests.server.several import PIXELS, write_bundle

from medxgan.client import Client, RefusedError, Tls, UnavailableError
from medxgan.server.embedded import EmbeddedServer
from medxgan.server.identity.reloading import SecurityFileError
from medxgan.server.identity.tokens import digest
from medxgan.v1.explanation_pb2 import ListModelsRequest
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody here trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Tls:
    return authority.certificate("localhost")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "identities.toml"


def over_tls(server: Tls, **settings: object) -> dict[str, object]:
    return {"tls_certificate": server.certificate, "tls_key": server.key} | settings


def answered(address: str, tls: Tls | None, token: str | None = None) -> bool:
    """Whether a server was reached and answered; a refusal of ours is an error."""
    try:
        with Client(address, tls=tls, token=token, patience=0, timeout=60) as client:
            return client.models() == ()
    except UnavailableError:
        return False


def test_a_server_shows_a_certificate_that_the_client_checks(
    authority: Authority, stranger: Authority, server: Tls
) -> None:
    trusting = Tls(authority.file)
    with guarded(**over_tls(server)) as address:
        assert answered(address, trusting)
        assert not answered(address, Tls(stranger.file))
        assert not answered(address, Tls()), "of gRPC's own authorities none has made it"
        assert not answered(address, None), "plaintext to a port of TLS"
        assert answered(address, trusting)
    with guarded() as address:
        assert not answered(address, trusting), "TLS to a port of plaintext"
        assert answered(address, None)
    for wrong in (
        stranger.certificate("localhost"),
        authority.certificate("elsewhere.example"),
        authority.certificate("localhost.localdomain", "localhost", days=-1),
    ):
        with guarded(**over_tls(wrong)) as address:
            assert not answered(address, trusting)


def test_a_client_shows_a_certificate_that_the_server_checks(
    authority: Authority, stranger: Authority, server: Tls, file: Path
) -> None:
    table = known("viewer", certificates="dns:viewer.hospital.example")
    settings = over_tls(server, tls_client_authority=authority.file, identities=identities(file, table))
    viewer = authority.certificate("viewer.hospital.example")
    with guarded(**settings) as address:
        assert answered(address, viewer)
        assert not answered(address, Tls(authority.file))
        impostor = stranger.certificate("viewer.hospital.example")
        assert not answered(address, Tls(authority.file, impostor.certificate, impostor.key))
        expired = authority.certificate("old", "viewer.hospital.example", days=-1)
        assert not answered(address, expired)
        for other in ("archive.hospital.example", "a.viewer.hospital.example", "viewer@viewer.hospital.example"):
            with pytest.raises(RefusedError, match="a client certificate of one identity that this server knows"):
                answered(address, authority.certificate(other))
        assert answered(address, viewer)


def test_a_certificate_is_known_by_any_kind_of_name_and_is_of_one_identity(
    authority: Authority, server: Tls, file: Path
) -> None:
    tables = (
        known("dns", certificates="dns:pacs.hospital.example"),
        known("email", certificates="email:pacs@hospital.example"),
    )
    settings = over_tls(server, tls_client_authority=authority.file, identities=identities(file, *tables))
    with guarded(**settings) as address:
        for name in ("pacs.hospital.example", "pacs@hospital.example"):
            assert answered(address, authority.certificate(name))
        with pytest.raises(RefusedError, match="of one identity"):
            answered(address, authority.certificate("pacs.hospital.example", "pacs@hospital.example"))
        # The whole subject of trustme's certificates differs from one to the next.
        subject = subject_of(authority.certificate("another.example"))
        with pytest.raises(RefusedError):
            answered(address, authority.certificate("another.example"))
        tls = authority.certificate("third.example")
        tables += (f"[identities.subject]\nroles = ['explain']\ncertificates = ['subject:{subject_of(tls)}']",)
        identities(file, *tables)
        assert subject != subject_of(tls)
        assert answered(address, tls)


def subject_of(tls: Tls) -> str:
    """As `openssl x509 -subject -nameopt rfc2253` has it."""
    assert tls.certificate is not None
    return x509.load_pem_x509_certificate(tls.certificate.read_bytes()).subject.rfc4514_string()


def test_a_token_decides_whatever_the_certificate(authority: Authority, server: Tls, file: Path) -> None:
    issuer = Issuer()
    file.with_name("keys.json").write_bytes(issuer.key_set())
    tables = known("gateway", roles="admin", certificates="dns:gateway.example"), issued(issuer, "keys.json")
    settings = over_tls(server, tls_client_authority=authority.file, identities=identities(file, *tables))
    gateway = authority.certificate("gateway.example")
    with guarded(**settings) as address:
        assert answered(address, gateway, issuer.token())
        for token, heard in (
            (None, "gateway does not have"),
            ("x" * 64, "is not one"),
            (issuer.token(exp=hence(days=-1)), "expired"),
        ):
            with pytest.raises(RefusedError, match=heard):
                answered(address, gateway, token)


def test_certificates_are_exchanged_while_serving_and_broken_ones_change_nothing(
    authority: Authority, stranger: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_force = Tls(None, tmp_path / "certificate.pem", tmp_path / "key.pem")

    def put(issued: Tls, *names: str) -> None:
        for name in names or ("certificate", "key"):
            shutil.copy(getattr(issued, name), getattr(in_force, name))

    before, after = authority.certificate("localhost"), stranger.certificate("localhost")
    put(before)
    with guarded(**over_tls(in_force)) as address, Client(address, tls=Tls(authority.file)) as old:
        assert old.models() == ()
        put(after, "certificate")
        assert answered(address, Tls(authority.file)), "a certificate without its key is not taken"
        assert answered(address, Tls(authority.file))
        told = [line.msg["reason"] for line in caplog.records if line.levelname == "ERROR"]
        assert told == [f"{in_force.key}: is not the key of {in_force.certificate}"]
        put(after, "key")
        assert answered(address, Tls(stranger.file))
        assert not answered(address, Tls(authority.file))
        in_force.certificate.write_text("nothing")
        assert answered(address, Tls(stranger.file))
        in_force.certificate.unlink()
        assert answered(address, Tls(stranger.file))
        assert old.models() == (), "a connection that there was goes on"


def test_the_authority_of_clients_is_exchanged_while_serving(
    authority: Authority, stranger: Authority, server: Tls, file: Path
) -> None:
    table = known("viewer", certificates="dns:viewer.example")
    accepted = file.with_name("clients.pem")
    shutil.copy(authority.file, accepted)
    viewer, other = authority.certificate("viewer.example"), stranger.certificate("viewer.example")
    other = Tls(authority.file, other.certificate, other.key)
    settings = over_tls(server, tls_client_authority=accepted, identities=identities(file, table))
    with guarded(**settings) as address:
        assert answered(address, viewer)
        shutil.copy(stranger.file, accepted)
        assert not answered(address, viewer)
        assert answered(address, other)


@pytest.mark.parametrize("broken", ["certificate", "key", "authority", "identities", "keys"])
def test_a_server_does_not_start_with_what_it_can_not_use(
    broken: str, authority: Authority, server: Tls, file: Path, tmp_path: Path
) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("SECRET")
    table = issued(Issuer(), nothing) if broken == "keys" else known("viewer")
    given = {
        "tls_certificate": server.certificate,
        "tls_key": server.key,
        "tls_client_authority": authority.file,
        "identities": identities(file, table),
    }
    given |= {name: nothing for name in given if name.endswith(broken)}
    with pytest.raises(SecurityFileError) as refusal, guarded(**given):
        pass
    assert str(nothing) in str(refusal.value)
    assert "SECRET" not in str(refusal.value)


@pytest.mark.parametrize("setting", ["connection_age_seconds", "connection_idle_seconds"])
def test_a_connection_ends_in_time_and_the_next_call_makes_another(setting: str) -> None:
    async def outlive(address: str) -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = ExplanationServiceStub(channel)
            await stub.ListModels(ListModelsRequest(), wait_for_ready=True)
            await asyncio.wait_for(channel.wait_for_state_change(grpc.ChannelConnectivity.READY), 60)
            await stub.ListModels(ListModelsRequest(), wait_for_ready=True)

    with guarded(**{setting: 0.2}) as address:
        asyncio.run(outlive(address))


def put_model(folder: Path) -> None:
    if not (folder / "models").exists():
        write_bundle(folder / "models" / "several" / "1", np.ones((3, PIXELS * PIXELS), np.float32))


@contextmanager
def served(folder: Path, *options: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`medxgan serve` of one model, and the address that it says it serves on."""
    put_model(folder)
    with serve_process(folder / "models", *options) as (process, line):
        yield process, line["address"].replace("127.0.0.1", "localhost").replace("0.0.0.0", "localhost")


IMPATIENT = """
from medxgan.client.command import main
from medxgan.client.connection import Connection
Connection.__init__.__kwdefaults__["patience"] = 0.0
main()
"""
"""The command for a server that is not to be reached, which it would look for again and again."""


def medxgan(*arguments: object, command: Sequence[object] = (COMMAND,)) -> tuple[int, str, str]:
    """Exit status, output and errors of a command."""
    done = subprocess.run([str(each) for each in (*command, *arguments)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.slow
def test_plaintext_beyond_loopback_is_for_who_says_so(tmp_path: Path, server: Tls) -> None:
    for address in ("0.0.0.0:0", "[::]:0", "hospital.example:0"):
        status, _, said = medxgan("serve", "--address", address)
        assert status == 2
        assert "insecure: " in said
        assert "expected tls_certificate for an address beyond loopback" in said
    for options in (["--insecure"], ["--tls-certificate", server.certificate, "--tls-key", server.key]):
        with served(tmp_path, "--address", "0.0.0.0:0", *options) as (process, _):
            process.send_signal(signal.SIGTERM)
            process.communicate()
            assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.usefixtures("plain_terminal")
def test_the_command_takes_options_and_environment_and_no_secret_reaches_a_log(
    authority: Authority, server: Tls, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = known("viewer", certificates="dns:viewer.example"), known("doctor", tokens=digest(TOKEN))
    identities(file, *tables)
    viewer = authority.certificate("viewer.example")
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    options = ["--tls-certificate", server.certificate, "--tls-key", server.key, "--identities", file]
    with served(tmp_path, *options, "--log-level", "debug") as (process, address):
        trusting = ["models", "--server", address, "--tls-authority", authority.file]
        status, said, _ = medxgan(*trusting, "--token-file", token_file)
        assert (status, "several 1" in said) == (0, True)
        status, _, said = medxgan(*trusting)
        assert (status, said) == (1, "error: expected 'authorization: Bearer TOKEN', or a client certificate")
        asked = ("models", "--server", address, "--tls", "--token-file", token_file)
        status, _, said = medxgan(*asked, command=(sys.executable, "-c", IMPATIENT))
        assert (status, TOKEN in said) == (1, False)
        for name, value in (("AUTHORITY", authority.file), ("TOKEN", TOKEN), ("SERVER", address)):
            monkeypatch.setenv(f"MEDXGAN_{name}", str(value))
        status, said, _ = medxgan("models")
        assert (status, "several 1" in said) == (0, True)
        poison = [(name, f"Bearer Patient^Poison {TOKEN}") for name in ("authorization", "x-poison", "user-agent")]
        poison += [("poison-bin", b'\n{"event": "Patient^Poison"}')]
        with grpc.secure_channel(address, Tls(authority.file).credentials()) as channel:
            with pytest.raises(grpc.RpcError):
                ExplanationServiceStub(channel).ListModels(ListModelsRequest(), metadata=poison)
            with pytest.raises(grpc.RpcError):
                channel.unary_unary("/Patient^Poison/Method")(b"", metadata=poison)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate()
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line.get("identity") for line in lines if line["event"] == "request"] == ["doctor"] * 2
    assert [line["code"] for line in lines if line["event"] == "refused"] == ["UNAUTHENTICATED"] * 2
    assert "Poison" not in log
    assert TOKEN not in log
    mutual = [*options, "--tls-client-authority", authority.file]
    monkeypatch.delenv("MEDXGAN_TOKEN")
    with served(tmp_path, *mutual) as (_, address):
        shown = ["--tls-certificate", viewer.certificate, "--tls-key", viewer.key]
        status, said, _ = medxgan("models", "--server", address, *shown)
        assert (status, "several 1" in said) == (0, True)


def test_an_embedded_server_answers_its_own_program_whatever_the_environment_says(
    server: Tls, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_model(tmp_path)
    identities(file, known("viewer"))
    for name, value in (("TLS_CERTIFICATE", server.certificate), ("TLS_KEY", server.key), ("IDENTITIES", file)):
        monkeypatch.setenv(f"MEDXGAN_{name}", str(value))
    with EmbeddedServer(tmp_path / "models", "cpu") as embedded, Client(embedded.address) as client:
        assert [each.model.name for each in client.models()] == ["several"]


@pytest.mark.slow
@pytest.mark.usefixtures("plain_terminal")
def test_the_command_sends_no_token_in_the_clear_and_refuses_what_the_embedded_server_does_not_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, said = medxgan("models", "--token-file", tmp_path / "token")
    assert status == 2
    assert "--token-file" in said
    assert "is for a server that --server names" in said
    monkeypatch.setenv("MEDXGAN_TOKEN", TOKEN)
    status, _, said = medxgan("models", "--server", "server.example:50051")
    assert (status, said) == (1, "error: a token is not sent to server.example:50051 in the clear: use TLS")
