"""Who calls, and whom: tokens, and TLS."""

import grpc
import pytest
import trustme

from medxgan.client import CredentialsError, Tls, UnavailableError


@pytest.mark.parametrize("options", [{"token": "a.b.c"}, {"metadata": {"Authorization": "Bearer a.b.c"}}])
def test_a_token_goes_with_every_call(service, make, grey, options) -> None:
    with make(service.address, **options) as client:
        client.explain(grey)
        client.explain_stream(grey, on_progress=lambda _: None)
        client.classify(grey)
        client.models()
        client.server()
        client.model()
    assert len(service.metadata) == 6
    assert {sent["authorization"] for sent in service.metadata} == {"Bearer a.b.c"}


def test_a_token_in_a_file_is_read_for_every_try(service, make, tmp_path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    with make(service.address, token=file) as client:
        client.models()
        file.write_text("second\n")
        client.models()
        for content in (b"", b"two words", b"\xff", b"in\nbetween"):
            file.write_bytes(content)
            with pytest.raises(CredentialsError) as refusal:
                client.models()
            assert "between" not in str(refusal.value)
        file.unlink()
        with pytest.raises(CredentialsError, match="no token can be read there"):
            client.models()
    assert [sent["authorization"] for sent in service.metadata] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1:50051",
        "server.example:50051",
        "localhost.example:50051",
        "evil.localhost:50051",
        "localhost@10.0.0.1:50051",
        "ipv4:127.0.0.1:50051,10.0.0.1:50051",
        "dns://10.0.0.1/localhost:50051",
        "127.evil.example:50051",
        "[::2]:50051",
    ],
)
@pytest.mark.parametrize("options", [{"token": "secret"}, {"metadata": {"AUTHORIZATION": "secret"}}])
def test_a_token_is_not_sent_in_the_clear(make, address, options) -> None:
    with pytest.raises(CredentialsError, match="in the clear: use TLS") as refusal:
        make(address, **options)
    assert "secret" not in str(refusal.value)
    with make(address, tls=Tls(), **options):
        pass


@pytest.mark.parametrize(
    "address", ["localhost:1", "127.0.0.1:1", "[::1]:1", "ipv4:127.8.9.1:1", "ipv6:[::1]:1", "unix:/tmp/a.sock"]
)
def test_a_token_may_stay_on_this_machine(make, address) -> None:
    with make(address, token="secret"):
        pass


def test_tls(service, make, grey, tmp_path) -> None:
    authority = trustme.CA()
    files = {name: tmp_path / f"{name}.pem" for name in ("authority", "certificate", "key")}
    own = authority.issue_cert("viewer.example")
    authority.cert_pem.write_to_path(files["authority"])
    own.cert_chain_pems[0].write_to_path(files["certificate"])
    own.private_key_pem.write_to_path(files["key"])
    shown = authority.issue_cert("127.0.0.1")
    pair = (shown.private_key_pem.bytes(), shown.cert_chain_pems[0].bytes())
    service.stop()
    service.start(grpc.ssl_server_credentials([pair], authority.cert_pem.bytes(), require_client_auth=True))

    with make(service.address, tls=Tls(**files)) as client:
        assert client.explain(grey).model.name == "chest"
    for wrong in (Tls(files["authority"]), Tls(), None):
        with make(service.address, tls=wrong, patience=0) as client, pytest.raises(UnavailableError):
            client.explain(grey)


def test_files_of_tls_that_can_not_be_used_are_named(make, tmp_path) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(CredentialsError, match=r"missing\.pem: No such file"):
        make("localhost:1", tls=Tls(missing))
    for half in (Tls(certificate=missing), Tls(key=missing)):
        with pytest.raises(CredentialsError, match="a certificate of the caller goes with its key"):
            make("localhost:1", tls=half)
