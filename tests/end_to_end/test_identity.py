"""Who may ask a server, and what it hears who may not: a real server, the real client, real keys."""

import queue
import resource
import secrets
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from tests.end_to_end.guarded import Issuer, guarded, hence, identities, issued, known, part

from medxgan.client import BusyError, Client, RefusedError, UnavailableError
from medxgan.server.identity.roles import METHOD_ROLES
from medxgan.server.identity.tokens import digest
from medxgan.server.open_inference.messages import inference
from medxgan.v1.explanation_pb2 import ListModelsRequest
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

TOKEN = secrets.token_hex(32)
STATUS = Path("/proc/self/statm")
LIST_MODELS = "/medxgan.v1.ExplanationService/ListModels"


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "identities.toml"


@pytest.fixture
def address(file: Path, issuer: Issuer) -> Iterator[str]:
    """A server that knows one listed token and one issuer."""
    file.with_name("keys.json").write_bytes(issuer.key_set())
    identities(file, known("viewer", tokens=digest(TOKEN)), issued(issuer, "keys.json"))
    with guarded(identities=file) as address:
        yield address


def asked(address: str, token: str | None = None) -> str:
    """What comes of asking for the models: "" for an answer, else the error's text."""
    try:
        with Client(address, token=token, patience=0, timeout=60) as client:
            assert client.models() == ()
    except RefusedError as error:
        return str(error)
    return ""


def called(address: str, *headers: tuple[str, str]) -> tuple[StatusCode, str]:
    """What comes of asking for the models with headers that our client would not send."""
    with grpc.insecure_channel(address) as channel:
        try:
            ExplanationServiceStub(channel).ListModels(ListModelsRequest(), metadata=headers, timeout=60)
        except grpc.RpcError as error:
            return error.code(), str(error.details())
    return StatusCode.OK, ""


def test_who_shows_nothing_hears_what_is_expected_and_a_probe_is_answered(address: str) -> None:
    assert asked(address) == "expected 'authorization: Bearer TOKEN', or a client certificate"
    with grpc.insecure_channel(address) as channel:
        assert HealthStub(channel).Check(HealthCheckRequest()).status
        assert next(HealthStub(channel).Watch(HealthCheckRequest())).status


def test_a_token_of_either_kind_is_taken(address: str, issuer: Issuer, file: Path) -> None:
    assert asked(address, TOKEN) == ""
    assert asked(address, issuer.token()) == ""
    assert asked(address, issuer.token(aud=["other", "medxgan"])) == ""
    assert asked(address, issuer.token(exp=hence(seconds=-1))) == "", "clocks differ"
    scattered = file.with_name("token")
    scattered.write_text(f"{TOKEN}\n")
    with Client(address, token=scattered) as client:
        client.models()
        scattered.write_text("x" * 64)
        with pytest.raises(RefusedError):
            client.models()


UNKNOWN = "the token is not one that this server takes"


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
    address: str, issuer: Issuer, make: Callable[[Issuer], str], heard: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    token = make(issuer)
    assert asked(address, token).startswith(heard)
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
def test_a_header_of_another_form_is_refused(address: str, headers: list[tuple[str, str]]) -> None:
    code, said = called(address, *headers)
    assert code is StatusCode.UNAUTHENTICATED
    assert TOKEN not in said


def test_a_role_that_a_token_has_not_is_said_by_name(address: str, issuer: Issuer) -> None:
    for roles in (None, [], ["imaging-guests"], "imaging-guests", [["imaging"]], {"imaging": True}, 1):
        refused = asked(address, issuer.token(roles=roles))
        assert refused.startswith(f"{LIST_MODELS} takes the role explain, which hospital/")
        assert "nobody" not in refused
    assert asked(address, issuer.token(roles="openid imaging")) == "", "as OAuth's scope states it"


@pytest.mark.parametrize(
    ("method", "without", "explaining", "administering"),
    [
        ("ServerLive", "OK", "OK", "OK"),
        ("ServerMetadata", "UNAUTHENTICATED", "OK", "PERMISSION_DENIED"),
        ("RepositoryModelLoad", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"),
    ],
)
def test_the_open_inference_protocol_is_behind_the_same_table(
    file: Path, method: str, without: str, explaining: str, administering: str
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
        guarded(identities=identities(file, *tables)) as address,
        grpc.insecure_channel(address) as channel,
    ):
        assert [code(channel, token) for token in ("", TOKEN, other)] == [without, explaining, administering]


def test_an_administrator_is_nobody_who_may_see_images(file: Path) -> None:
    with guarded(identities=identities(file, known("operator", roles="admin", tokens=digest(TOKEN)))) as address:
        assert asked(address, TOKEN) == f"{LIST_MODELS} takes the role explain, which operator does not have"


def test_the_log_names_identities_and_no_subject(
    address: str, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    asked(address, TOKEN)
    asked(address, issuer.token())
    asked(address, issuer.token(roles=None))
    requests = [line.msg for line in caplog.records if isinstance(line.msg, dict)]
    viewer, doctor = [line["identity"] for line in requests if line["event"] == "request"]
    (refused,) = [line for line in requests if line["event"] == "refused"]
    assert viewer == "viewer"
    assert doctor.startswith("hospital/")
    assert refused["caller"] == doctor
    assert refused["code"] == "PERMISSION_DENIED"
    assert "nobody" not in caplog.text


def test_tokens_are_exchanged_while_serving_and_a_broken_file_changes_nothing(
    address: str, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new = secrets.token_hex(32)
    identities(file, known("viewer", tokens=digest(new)))
    assert asked(address, TOKEN) == UNKNOWN
    assert asked(address, new) == ""
    identities(file, "[identities.viewer]\nroles = ['everything']")
    assert asked(address, new) == ""
    assert asked(address, new) == ""
    file.unlink()
    assert asked(address, new) == ""
    told = [line.msg["reason"] for line in caplog.records if line.levelname == "ERROR"]
    assert len(told) == 2
    assert "identities.viewer.roles" in told[0]
    assert "No such file" in told[1]
    identities(file, known("viewer", roles="admin", tokens=digest(new)))
    assert "takes the role explain" in asked(address, new)


def test_keys_in_a_file_are_exchanged_while_serving(address: str, file: Path) -> None:
    other = Issuer()
    file.with_name("keys.json").write_bytes(other.key_set())
    assert asked(address, other.token()) == ""
    file.with_name("keys.json").write_bytes(b"{}")
    assert asked(address, other.token()) == ""


def test_keys_at_an_address_are_exchanged_while_serving(file: Path) -> None:
    issuer = Issuer()
    with issuer.serving() as keys, guarded(identities=identities(file, issued(issuer, keys))) as address:
        assert asked(address, issuer.token()) == ""
        first = issuer.token()
        issuer.renew("second")
        assert asked(address, issuer.token()) == ""
        assert asked(address, first) == UNKNOWN, "the issuer has withdrawn the key"
        issuer.answers = False
        assert asked(address, issuer.token()) == "", "the keys in force stay"


def test_who_names_keys_that_there_are_not_does_not_reach_the_issuer(file: Path) -> None:
    issuer = Issuer()
    table = issued(issuer, "KEYS", refresh_seconds=3600)
    with issuer.serving() as keys, guarded(identities=identities(file, table.replace("KEYS", keys))) as address:
        for number in range(20):
            assert asked(address, issuer.forged({"alg": "RS256", "kid": str(number)}, b"key")) == UNKNOWN
        assert issuer.downloads == 1
        assert asked(address, issuer.token()) == ""


def test_a_server_starts_without_its_issuer_and_says_that_a_token_can_not_be_checked(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer()
    issuer.answers = False
    table = known("viewer", tokens=digest(TOKEN))
    with issuer.serving() as keys, guarded(identities=identities(file, table, issued(issuer, keys))) as address:
        for _ in range(3):
            with pytest.raises(UnavailableError, match="can't be had at the moment"):
                asked(address, issuer.token())
        assert asked(address, TOKEN) == "", "whose token needs no issuer is answered"
        assert [line.msg["event"] for line in caplog.records if line.levelname == "ERROR"] == ["keys_not_reloaded"]
        issuer.answers = True
        assert asked(address, issuer.token()) == ""


def test_keys_are_not_taken_from_where_a_redirect_leads(file: Path) -> None:
    issuer = Issuer()
    with issuer.serving() as keys, socket.create_server(("127.0.0.1", 0)) as listening:
        redirecting = threading.Thread(target=redirect_once, args=(listening, keys))
        redirecting.start()
        stated = f"http://127.0.0.1:{listening.getsockname()[1]}/keys"
        with (
            guarded(identities=identities(file, issued(issuer, stated, refresh_seconds=3600))) as address,
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


def reflected(address: str, token: str = "") -> list[str]:
    """The methods that a server says it has."""
    headers = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(address) as channel:
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


def test_the_table_of_methods_is_complete(file: Path) -> None:
    with guarded(identities=identities(file, known("viewer", tokens=digest(TOKEN))), reflection="on") as address:
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
    file: Path, choice: str, asks: bool, code: StatusCode | None
) -> None:
    stated = identities(file, known("viewer")) if asks else None
    with guarded(identities=stated, reflection=choice) as address:
        if code is None:
            assert reflected(address)
        else:
            with pytest.raises(grpc.RpcError) as refused:
                reflected(address)
            assert refused.value.code() is code


def test_a_rate_is_of_one_caller_and_says_when_to_come_back(file: Path) -> None:
    other = secrets.token_hex(32)
    tables = known("viewer", tokens=digest(TOKEN)), known("archive", tokens=digest(other))
    with guarded(identities=identities(file, *tables), maximum_rate_per_caller=0.001) as address:
        assert asked(address, TOKEN) == ""
        with pytest.raises(BusyError, match=r"at most 0\.001 requests a second") as busy:
            asked(address, TOKEN)
        assert busy.value.retry_delay is not None
        assert 0 < busy.value.retry_delay <= 1000
        assert asked(address, other) == ""


class Stream:
    """A stream of requests for a model that there is not, of a caller with a token."""

    def __init__(self, channel: grpc.Channel, token: str = TOKEN) -> None:
        self.requests: queue.Queue[bytes | None] = queue.Queue()
        headers = [("authorization", f"Bearer {token}")]
        method = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        self.call = method(iter(self.requests.get, None), metadata=headers, timeout=60)

    def ask(self) -> str:
        """What a request hears."""
        self.requests.put(inference.ModelInferRequest(model_name="nonsense").SerializeToString())
        return inference.ModelStreamInferResponse.FromString(next(self.call)).error_message


NO_MODEL = "no model nonsense is served; RepositoryIndex lists those that are"


@pytest.mark.parametrize(
    ("tables", "code"),
    [
        ([known("another", tokens=digest("x" * 64))], StatusCode.UNAUTHENTICATED),
        ([known("viewer", roles="admin", tokens=digest(TOKEN))], StatusCode.PERMISSION_DENIED),
    ],
)
def test_a_stream_ends_at_the_first_request_of_one_who_may_send_none_any_more(
    address: str, file: Path, tables: list[str], code: StatusCode
) -> None:
    with grpc.insecure_channel(address) as channel:
        stream = Stream(channel)
        assert [stream.ask(), stream.ask()] == [NO_MODEL, NO_MODEL]
        identities(file, *tables)
        with pytest.raises(grpc.RpcError):
            stream.ask()
        assert stream.call.code() is code
        stream.requests.put(None)


def test_requests_of_a_stream_count_as_others_do(file: Path) -> None:
    table = known("viewer", tokens=digest(TOKEN))
    with (
        guarded(identities=identities(file, table), maximum_rate_per_caller=0.001) as address,
        grpc.insecure_channel(address) as channel,
    ):
        stream = Stream(channel)
        assert stream.ask() == NO_MODEL
        assert stream.ask() == "expected at most 0.001 requests a second of one caller"
        stream.requests.put(None)
        assert list(stream.call) == []


class Unsent:
    """A call whose message does not come until it is told to."""

    def __init__(self, channel: grpc.Channel, **options: float) -> None:
        self.told = threading.Event()
        method = channel.stream_unary(LIST_MODELS)
        self.call = method.future(self._message(), metadata=[("authorization", f"Bearer {TOKEN}")], **options)

    def _message(self) -> Iterator[bytes]:
        self.told.wait()
        yield b""


def test_requests_at_once_are_counted_by_caller(file: Path) -> None:
    table = known("viewer", tokens=digest(TOKEN))
    with (
        guarded(identities=identities(file, table), maximum_requests_per_caller=1, retry_delay_seconds=1.5) as address,
        grpc.insecure_channel(address) as channel,
    ):
        unsent = Unsent(channel)
        stub = ExplanationServiceStub(channel)

        def code() -> tuple[StatusCode, bytes]:
            try:
                stub.ListModels(ListModelsRequest(), metadata=[("authorization", f"Bearer {TOKEN}")])
            except grpc.RpcError as error:
                return error.code(), dict(error.trailing_metadata())["grpc-status-details-bin"]
            return StatusCode.OK, b""

        # The server hears of the other call, and of its end, a moment later.
        tries = (code() for _ in range(10_000))
        refused, details = next(found for found in tries if found[0] is not StatusCode.OK)
        assert refused is StatusCode.RESOURCE_EXHAUSTED
        retry = error_details_pb2.RetryInfo()
        assert status_pb2.Status.FromString(details).details[0].Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() == 1500
        unsent.told.set()
        assert unsent.call.result() == b"\x12" + unsent.call.result()[1:]
        assert any(found[0] is StatusCode.OK for found in tries)


@pytest.mark.parametrize("options", [{}, {"timeout": 3600}])
def test_no_answer_takes_longer_than_the_ceiling(file: Path, options: dict[str, float]) -> None:
    table = known("viewer", tokens=digest(TOKEN))
    with (
        guarded(identities=identities(file, table), deadline_ceiling_seconds=0.1) as address,
        grpc.insecure_channel(address) as channel,
    ):
        unsent = Unsent(channel, **options)
        assert unsent.call.code() is StatusCode.DEADLINE_EXCEEDED
        assert "longer than 0.1 seconds" in unsent.call.details()
        unsent.told.set()


@pytest.mark.parametrize("headers", [[("flood", "x" * 2**20)], [(f"flood-{n}", "x" * 100) for n in range(1000)]])
def test_a_flood_of_headers_is_refused_and_others_are_answered(address: str, headers: list[tuple[str, str]]) -> None:
    code, said = called(address, *headers)
    assert code is StatusCode.RESOURCE_EXHAUSTED
    assert "metadata size" in said
    assert asked(address, TOKEN) == ""


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="this system does not say what a process holds")
def test_headers_without_an_end_hold_no_memory_and_others_are_answered(address: str) -> None:
    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as connection:
        # A field of HPACK that is not indexed: "flood", and 100 bytes.
        block = (b"\x00\x05flood\x64" + b"x" * 100) * 150
        frame = struct.Struct(">HBBBI")
        size = len(block) >> 8, len(block) & 255
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        connection.sendall(frame.pack(*size, 1, 0, 1) + block)
        before = resident_bytes()
        for _ in range(2**30 // len(block)):
            connection.sendall(frame.pack(*size, 9, 0, 1) + block)
        # What is on its way takes a few dozen megabytes, however much is sent.
        assert resident_bytes() - before < 2**29, "of 1 GiB that was sent"
        assert asked(address, TOKEN) == ""


def resident_bytes() -> int:
    return int(STATUS.read_text().split()[1]) * resource.getpagesize()
