"""What bounds a server as a whole: connections, streams that say nothing, memory; and how it ends."""

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from tests.end_to_end.guarded import LIST_MODELS, guarded, identities, known

from medxgan.server.identity.tokens import digest
from medxgan.v1.explanation_pb2 import ListModelsRequest
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""Of HTTP/2: the preface, and settings that change nothing."""
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


def connected(address: str) -> socket.socket:
    """A connection that has greeted, and says nothing more."""
    host, port = address.split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(GREETING)
    return connection


def is_open(connection: socket.socket) -> bool:
    """Whether the server has greeted too, rather than closed the connection."""
    try:
        return bool(connection.recv(9))
    except ConnectionError:
        return False


def code(address: str) -> StatusCode:
    """What comes of a call over a connection of its own."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            ExplanationServiceStub(channel).ListModels(ListModelsRequest(), timeout=60)
        except grpc.RpcError as error:
            return error.code()
    return StatusCode.OK


def test_connections_are_bounded_in_number_and_those_that_there_are_are_answered() -> None:
    with guarded(maximum_connections=3) as address, ExitStack() as opened:
        channel = opened.enter_context(grpc.insecure_channel(address))
        stub = ExplanationServiceStub(channel)
        stub.ListModels(ListModelsRequest(), timeout=60)
        connections = [opened.enter_context(connected(address)) for _ in range(5)]
        assert sorted(is_open(connection) for connection in connections) == [False, False, False, True, True]
        assert code(address) is StatusCode.UNAVAILABLE
        stub.ListModels(ListModelsRequest(), timeout=60)
        for connection in connections:
            connection.close()
        # The server hears of it a moment later.
        assert any(code(address) is StatusCode.OK for _ in range(1000))


def test_many_connections_that_say_nothing_take_nothing_from_others() -> None:
    with guarded() as address, ExitStack() as opened:
        connections = [opened.enter_context(connected(address)) for _ in range(300)]
        assert all(is_open(connection) for connection in connections)
        assert code(address) is StatusCode.OK


def test_who_does_not_speak_the_protocol_is_left_at_once() -> None:
    with guarded() as address:
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 4)
            heard = b"".join(iter(lambda: connection.recv(65_536), b""))
        assert b"HTTP/1.1 200" not in heard
        assert code(address) is StatusCode.OK


class Waiting:
    """A call that has begun and sends nothing more than some first messages until it is told to."""

    def __init__(self, channel: grpc.Channel, method: str = LIST_MODELS, *first: bytes) -> None:
        self._first = first
        self.told = threading.Event()
        self.began = threading.Event()
        self.call = channel.stream_stream(method)(self._messages(), timeout=60)
        self.began.wait()

    def _messages(self) -> Iterator[bytes]:
        self.began.set()
        yield from self._first
        self.told.wait()
        yield b""


HEALTH = "/grpc.health.v1.Health/"
OPEN_INFERENCE = "/inference.GRPCInferenceService/"
PROBES = [HEALTH + "Check", HEALTH + "Watch", *(OPEN_INFERENCE + name for name in ("ServerLive", "ModelReady"))]


def test_who_needs_no_token_takes_no_place_of_those_who_do(tmp_path: Path) -> None:
    token = secrets.token_hex(32)
    file = identities(tmp_path / "identities.toml", known("viewer", tokens=digest(token)))
    with (
        guarded(identities=file, maximum_receiving=1, upload_timeout_seconds=3600) as address,
        grpc.insecure_channel(address) as channel,
    ):
        stalled = [Waiting(channel, method) for method in PROBES]
        headers = [("authorization", f"Bearer {token}")]
        ExplanationServiceStub(channel).ListModels(ListModelsRequest(), metadata=headers, timeout=60)
        assert HealthStub(channel).Check(HealthCheckRequest(), timeout=60).status
        for waiting in stalled:
            waiting.call.cancel()
            waiting.told.set()


@pytest.mark.parametrize("method", [*PROBES, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"])
def test_a_message_that_holds_a_name_is_small(method: str) -> None:
    with guarded() as address, grpc.insecure_channel(address) as channel:
        call = channel.stream_stream(method)(iter([HealthCheckRequest(service="n" * 5000).SerializeToString()]))
        assert call.code() is StatusCode.INVALID_ARGUMENT
        assert call.details() == "expected a message of at most 4096 bytes, got 5003"


def test_the_watches_of_a_caller_are_bounded_and_are_none_of_its_requests() -> None:
    with guarded(maximum_requests_per_caller=2) as address, grpc.insecure_channel(address) as channel:
        watches = [HealthStub(channel).Watch(HealthCheckRequest(service=name)) for name in ("", "unknown")]
        assert [next(watch).status for watch in watches] == [
            HealthCheckResponse.NOT_SERVING,
            HealthCheckResponse.SERVICE_UNKNOWN,
        ]
        with pytest.raises(grpc.RpcError) as refused:
            HealthStub(channel).Check(HealthCheckRequest(), timeout=60)
        assert refused.value.code() is StatusCode.RESOURCE_EXHAUSTED
        ExplanationServiceStub(channel).ListModels(ListModelsRequest(), timeout=60)
        for watch in watches:
            watch.cancel()


def test_streams_of_reflection_are_bounded_as_others_are() -> None:
    reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    with (
        guarded(maximum_streams_per_caller=1, stream_idle_seconds=0.2) as address,
        grpc.insecure_channel(address) as channel,
    ):
        waiting = Waiting(channel, reflection)
        assert waiting.call.code() is StatusCode.DEADLINE_EXCEEDED
        assert waiting.call.details() == "the stream sent no request for 0.2 seconds"
        waiting.told.set()
    with guarded(maximum_streams_per_caller=1) as address, grpc.insecure_channel(address) as channel:
        ask = ServerReflectionRequest(list_services="").SerializeToString()
        held = Waiting(channel, reflection, ask)
        next(held.call)
        assert channel.stream_stream(reflection)(iter([ask])).code() is StatusCode.RESOURCE_EXHAUSTED
        held.told.set()


def test_a_stream_that_says_nothing_is_ended() -> None:
    with guarded(stream_idle_seconds=0.2) as address, grpc.insecure_channel(address) as channel:
        waiting = Waiting(channel, STREAM)
        assert waiting.call.code() is StatusCode.DEADLINE_EXCEEDED
        assert waiting.call.details() == "the stream sent no request for 0.2 seconds"
        waiting.told.set()


def test_while_memory_is_short_new_requests_are_refused_and_those_under_way_answered() -> None:
    with (
        guarded(maximum_memory_bytes=1, retry_delay_seconds=1.5) as address,
        grpc.insecure_channel(address) as channel,
    ):
        stub = ExplanationServiceStub(channel)
        stub.ListModels(ListModelsRequest(), timeout=60)
        waiting = Waiting(channel)
        # The server hears of the call a moment later.
        refused = next(error for error in (refusal(stub) for _ in range(10_000)) if error is not None)
        assert refused.code() is StatusCode.RESOURCE_EXHAUSTED
        assert refused.details() == "the server has no memory to spare"
        status = status_pb2.Status.FromString(dict(refused.trailing_metadata())["grpc-status-details-bin"])
        retry = error_details_pb2.RetryInfo()
        assert status.details[0].Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() == 1500
        assert HealthStub(channel).Check(HealthCheckRequest(), timeout=60).status
        assert channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=60) == b"\x08\x01"
        waiting.told.set()
        assert list(waiting.call)


def refusal(stub: ExplanationServiceStub) -> grpc.RpcError | None:
    try:
        stub.ListModels(ListModelsRequest(), timeout=60)
    except grpc.RpcError as error:
        return error
    return None


@pytest.mark.parametrize("setting", ["maximum_connections", "stream_idle_seconds"])
def test_a_bound_is_a_number_above_zero(setting: str) -> None:
    with pytest.raises(ValueError, match=setting), guarded(**{setting: 0}):
        pass
