"""Who may ask a server, and what it hears who may not: a real server, the real client, real keys."""

import secrets
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from tests.end_to_end.guarded import (
    LIST_MODELS,
    TOKEN,
    UNKNOWN,
    Issuer,
    asked,
    called,
    guarded,
    hence,
    identities,
    known,
    part,
)

from medxgan.client import Client, RefusedError
from medxgan.server.identity.roles import METHOD_ROLES
from medxgan.server.identity.tokens import digest


def test_who_shows_nothing_hears_what_is_expected_and_a_probe_is_answered(guarded_address: str) -> None:
    assert asked(guarded_address) == "expected 'authorization: Bearer TOKEN', or a client certificate"
    with grpc.insecure_channel(guarded_address) as channel:
        assert HealthStub(channel).Check(HealthCheckRequest()).status
        assert next(HealthStub(channel).Watch(HealthCheckRequest())).status


def test_a_token_of_either_kind_is_taken(guarded_address: str, issuer: Issuer, identities_file: Path) -> None:
    assert asked(guarded_address, TOKEN) == ""
    assert asked(guarded_address, issuer.token()) == ""
    assert asked(guarded_address, issuer.token(aud=["other", "medxgan"])) == ""
    assert asked(guarded_address, issuer.token(exp=hence(seconds=-1))) == "", "clocks differ"
    scattered = identities_file.with_name("token")
    scattered.write_text(f"{TOKEN}\n")
    with Client(guarded_address, token=scattered) as client:
        client.models()
        scattered.write_text("x" * 64)
        with pytest.raises(RefusedError):
            client.models()


@pytest.mark.parametrize(
    ("make", "heard"),
    [
        (lambda issuer: issuer.token(exp=hence(hours=-1)), "the token has expired"),
        (lambda issuer: issuer.token(nbf=hence(hours=1)), UNKNOWN),
        (lambda issuer: issuer.token(aud="another"), "the token is for another audience"),
        (lambda issuer: issuer.token(iss="https://evil.example"), "expected a token of an issuer that this"),
        (lambda issuer: issuer.forged({"alg": "RS256"}, b"key", iss=["a", "list"]), "expected a token of an issuer"),
        (lambda issuer: issuer.token(exp=None), UNKNOWN),
        (lambda issuer: issuer.token(sub=None), UNKNOWN),
        (lambda issuer: issuer.token(aud=None), UNKNOWN),
        (lambda issuer: issuer.forged({"alg": "none"}), "expected a token signed by one of ES256, RS256"),
        (lambda issuer: issuer.forged({"alg": "None"}), "expected a token signed by one of"),
        (lambda issuer: issuer.forged({"alg": ["RS256"]}), "expected a token signed by one of"),
        (lambda issuer: issuer.forged({"alg": "HS256"}, issuer.public_pem()), "expected a token signed by one of"),
        (lambda issuer: issuer.forged({"alg": "RS256"}, issuer.public_pem()), UNKNOWN),
        (lambda issuer: issuer.forged({"alg": "RS256", "kid": "unknown"}, b"key"), UNKNOWN),
        (lambda issuer: issuer.forged({"alg": "RS256", "kid": ["first"]}, b"key"), UNKNOWN),
        (lambda issuer: issuer.forged({"alg": "RS256", "jwk": {"kty": "oct", "k": "a2V5"}}, b"key"), UNKNOWN),
        (lambda issuer: issuer.forged({"alg": "RS256", "crit": ["exp"]}, b"key"), UNKNOWN),
        (lambda issuer: Issuer(issuer.name).token(), UNKNOWN),
        (lambda issuer: issuer.token()[:-4] + "AAAA", UNKNOWN),
        (lambda issuer: issuer.token().rpartition(".")[0] + ".", UNKNOWN),
        (lambda _: "..", UNKNOWN),
        (lambda _: (part({"alg": "RS256"}) + b"." + part(b"[" * 7000) + b".AA").decode(), UNKNOWN),
        (lambda _: (part({"alg": "RS256"}) + b"." + part([1]) + b".AA").decode(), UNKNOWN),
        (lambda _: secrets.token_hex(32), UNKNOWN),
        (lambda _: TOKEN[:-1], UNKNOWN),
        (lambda _: TOKEN.upper(), UNKNOWN),
        (lambda _: digest(TOKEN), UNKNOWN),
    ],
)
def test_a_token_that_proves_nothing_is_refused_and_not_logged(
    guarded_address: str, issuer: Issuer, make: Callable[[Issuer], str], heard: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    token = make(issuer)
    assert asked(guarded_address, token).startswith(heard)
    assert [line for line in caplog.text.splitlines() if "refused" in line]
    pieces = [piece for piece in token.split(".") if len(piece) > 8]
    assert not [piece for piece in pieces if piece in caplog.text]


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", TOKEN)],
        [("authorization", f"Basic {TOKEN}")],
        [("authorization", "Bearer ")],
        [("authorization", "Bearer")],
        [("authorization", "")],
        [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")],
        [("authorization-bin", TOKEN.encode())],
        [("x-authorization", f"Bearer {TOKEN}")],
    ],
)
def test_a_header_of_another_form_is_refused(guarded_address: str, headers: list[tuple[str, str]]) -> None:
    code, said = called(guarded_address, *headers)
    assert code is StatusCode.UNAUTHENTICATED
    assert TOKEN not in said


def test_a_role_that_a_token_has_not_is_said_by_name(guarded_address: str, issuer: Issuer) -> None:
    for roles in (None, [], ["imaging-guests"], "imaging-guests", [["imaging"]], {"imaging": True}, 1):
        refused = asked(guarded_address, issuer.token(roles=roles))
        assert refused.startswith(f"{LIST_MODELS} takes the role explain, which hospital/")
        assert "nobody" not in refused
    assert asked(guarded_address, issuer.token(roles="openid imaging")) == "", "as OAuth's scope states it"


@pytest.mark.parametrize(
    ("method", "without", "explaining", "administering"),
    [
        ("ServerLive", "OK", "OK", "OK"),
        ("ServerMetadata", "UNAUTHENTICATED", "OK", "PERMISSION_DENIED"),
        ("RepositoryModelLoad", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"),
    ],
)
def test_the_open_inference_protocol_is_behind_the_same_table(
    identities_file: Path, method: str, without: str, explaining: str, administering: str
) -> None:
    other = secrets.token_hex(32)
    tables = known("viewer", tokens=digest(TOKEN)), known("operator", roles="admin", tokens=digest(other))

    def code(channel: grpc.Channel, token: str) -> str:
        headers = [("authorization", f"Bearer {token}")] if token else []
        try:
            channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(b"", metadata=headers)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    with (
        guarded(identities=identities(identities_file, *tables)) as address,
        grpc.insecure_channel(address) as channel,
    ):
        assert [code(channel, token) for token in ("", TOKEN, other)] == [without, explaining, administering]


def test_an_administrator_is_nobody_who_may_see_images(identities_file: Path) -> None:
    with guarded(
        identities=identities(identities_file, known("operator", roles="admin", tokens=digest(TOKEN)))
    ) as address:
        assert asked(address, TOKEN) == f"{LIST_MODELS} takes the role explain, which operator does not have"


def test_the_log_names_identities_and_no_subject(
    guarded_address: str, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    asked(guarded_address, TOKEN)
    asked(guarded_address, issuer.token())
    asked(guarded_address, issuer.token(roles=None))
    requests = [line.msg for line in caplog.records if isinstance(line.msg, dict)]
    viewer, doctor = [line["identity"] for line in requests if line["event"] == "request"]
    (refused,) = [line for line in requests if line["event"] == "refused"]
    assert viewer == "viewer"
    assert doctor.startswith("hospital/")
    assert refused["caller"] == doctor
    assert refused["code"] == "PERMISSION_DENIED"
    assert "nobody" not in caplog.text


def reflected(guarded_address: str, token: str = "") -> list[str]:
    """The methods that a server says it has."""
    headers = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(guarded_address) as channel:
        stub = ServerReflectionStub(channel)

        def ask(**question: str) -> ServerReflectionRequest:
            (answer,) = stub.ServerReflectionInfo(iter([ServerReflectionRequest(**question)]), metadata=headers)
            return answer

        found = []
        for service in (each.name for each in ask(list_services="").list_services_response.service):
            answer = ask(file_containing_symbol=service).file_descriptor_response
            for content in answer.file_descriptor_proto:
                described = FileDescriptorProto.FromString(content)
                found += [
                    f"/{described.package}.{each.name}/{method.name}"
                    for each in described.service
                    for method in each.method
                    if f"{described.package}.{each.name}" == service
                ]
        return found


def test_the_table_of_methods_is_complete(identities_file: Path) -> None:
    with guarded(
        identities=identities(identities_file, known("viewer", tokens=digest(TOKEN))), reflection="on"
    ) as address:
        assert set(reflected(address, TOKEN)) == METHOD_ROLES.keys()


@pytest.mark.parametrize(
    ("choice", "asks", "code"),
    [
        ("auto", False, None),
        ("off", False, StatusCode.UNIMPLEMENTED),
        ("auto", True, StatusCode.UNIMPLEMENTED),
        ("on", True, StatusCode.UNAUTHENTICATED),
    ],
)
def test_reflection_is_off_where_identities_are_asked_for(
    identities_file: Path, choice: str, asks: bool, code: StatusCode | None
) -> None:
    stated = identities(identities_file, known("viewer")) if asks else None
    with guarded(identities=stated, reflection=choice) as address:
        if code is None:
            assert reflected(address)
        else:
            with pytest.raises(grpc.RpcError) as refused:
                reflected(address)
            assert refused.value.code() is code
