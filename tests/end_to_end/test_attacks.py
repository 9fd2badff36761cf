"""Who means harm: frames that no client of gRPC would send, names that lead elsewhere, proofs that were withdrawn."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event, StreamReset
from h2.exceptions import ProtocolError
from tests.end_to_end.guarded import LIST_MODELS, Authority, guarded, identities, known

from medxgan.client import Client, RefusedError
from medxgan.server.open_inference.messages import inference
from medxgan.v1.explanation_pb2 import ClassifyRequest, GetModelRequest, ListModelsRequest, ModelSelector
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub


class Attacker:
    """A connection that sends whatever frames HTTP/2 has."""

    def __init__(self, connection: socket.socket, authority: str) -> None:
        self._socket = connection
        self._authority = authority
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.send()

    def send(self) -> None:
        self._socket.sendall(self.h2.data_to_send())

    def begin(self) -> int:
        """The stream of a call without its message."""
        stream: int = self.h2.get_next_available_stream_id()
        pseudo = [(":method", "POST"), (":scheme", "http"), (":path", LIST_MODELS), (":authority", self._authority)]
        self.h2.send_headers(stream, [*pseudo, ("te", "trailers"), ("content-type", "application/grpc")])
        return stream

    def heard(self) -> list[Event]:
        """What has come up to now; waits for something, or for the connection's end."""
        content = self._socket.recv(65_536)
        return self.h2.receive_data(content) if content else [ConnectionTerminated()]


@contextmanager
def attacking(address: str) -> Iterator[Attacker]:
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        yield Attacker(connection, address)


def is_answered(address: str) -> bool:
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            ExplanationServiceStub(channel).ListModels(ListModelsRequest(), timeout=60)
        except grpc.RpcError:
            return False
    return True


@pytest.mark.slow
def test_streams_that_are_opened_and_reset_at_once_harm_nobody() -> None:
    with guarded() as address:
        for _ in range(20):
            # The server may end the connection whenever it has enough of it.
            with attacking(address) as attacker, suppress(OSError, ProtocolError):
                for _ in range(250):
                    attacker.h2.reset_stream(attacker.begin(), ErrorCodes.CANCEL)
                attacker.send()
            assert is_answered(address)


def test_more_streams_than_a_connection_may_have_are_refused() -> None:
    with guarded(maximum_requests_per_caller=10) as address:
        with attacking(address) as attacker:
            streams = [attacker.begin() for _ in range(300)]  # before it knows how many there may be
            attacker.send()
            refused: set[int | None] = set()
            while len(refused) < 200:
                resets = [event for event in attacker.heard() if isinstance(event, StreamReset)]
                refused |= {event.stream_id for event in resets if event.error_code == ErrorCodes.ENHANCE_YOUR_CALM}
            assert refused == set(streams[100:])
            assert attacker.h2.remote_settings.max_concurrent_streams == 100
        # The server hears a moment later that the connection is gone, and its calls with it.
        assert any(is_answered(address) for _ in range(1000))


@pytest.mark.parametrize("flood", ["pings", "settings", "small windows"])
def test_a_flood_of_frames_ends_the_connection_or_is_borne_and_others_are_answered(flood: str) -> None:
    with guarded() as address:
        with attacking(address) as attacker, suppress(OSError, ProtocolError):
            for number in range(5000):
                match flood:
                    case "pings":
                        attacker.h2.ping(number.to_bytes(8, "big"))
                    case "settings":
                        attacker.h2.update_settings({})
                    case _:
                        attacker.h2.increment_flow_control_window(1)
                if number % 100 == 0:
                    attacker.send()
            attacker.send()
        assert is_answered(address)


def test_who_pings_without_end_is_told_to_calm_down() -> None:
    with guarded() as address, attacking(address) as attacker:
        ended: list[ConnectionTerminated] = []
        for number in range(5000):
            attacker.h2.ping(number.to_bytes(8, "big"))
        attacker.send()
        while not ended:
            ended += [event for event in attacker.heard() if isinstance(event, ConnectionTerminated)]
        assert ended[0].error_code == ErrorCodes.ENHANCE_YOUR_CALM
        assert is_answered(address)


ELSEWHERE = ["../../etc/passwd", "/etc/passwd", "..", ".", "several/../several", "several\0", "..\\secret", "%2e"]
REFUSALS = {StatusCode.NOT_FOUND, StatusCode.INVALID_ARGUMENT, StatusCode.UNIMPLEMENTED}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_name_that_leads_elsewhere_is_no_models_name(name: str, tmp_path: Path) -> None:
    def code(channel: grpc.Channel, method: str, message: bytes) -> StatusCode:
        try:
            channel.unary_unary(method)(message, timeout=60)
        except grpc.RpcError as error:
            return error.code()
        return StatusCode.OK

    ours, theirs = "/medxgan.v1.ExplanationService/", "/inference.GRPCInferenceService/"
    asked = {
        ours + "GetModel": GetModelRequest(model=ModelSelector(name=name)),
        ours + "Classify": ClassifyRequest(model=ModelSelector(name=name)),
        theirs + "ModelMetadata": inference.ModelMetadataRequest(name=name),
        theirs + "ModelConfig": inference.ModelConfigRequest(name=name),
        theirs + "ModelStatistics": inference.ModelStatisticsRequest(name=name),
        theirs + "ModelInfer": inference.ModelInferRequest(model_name=name),
        theirs + "RepositoryModelLoad": inference.RepositoryModelLoadRequest(model_name=name),
        theirs + "RepositoryModelUnload": inference.RepositoryModelUnloadRequest(model_name=name),
    }
    with guarded(models=tmp_path) as address, grpc.insecure_channel(address) as channel:
        for method, message in asked.items():
            assert code(channel, method, message.SerializeToString()) in REFUSALS, method
        ready = inference.ModelReadyRequest(name=name).SerializeToString()
        answer = channel.unary_unary(theirs + "ModelReady")(ready, timeout=60)
        assert not inference.ModelReadyResponse.FromString(answer).ready


def test_a_certificate_that_was_withdrawn_is_refused_at_the_next_call(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    server, viewer = authority.certificate("localhost"), authority.certificate("viewer.example")
    file = identities(tmp_path / "identities.toml", known("viewer", certificates="dns:viewer.example"))
    settings = {
        "tls_certificate": server.certificate,
        "tls_key": server.key,
        "tls_client_authority": authority.file,
        "identities": file,
    }
    with guarded(**settings) as address, Client(address, tls=viewer) as client:
        assert client.models() == ()
        identities(file, known("viewer", certificates="dns:another.example"))
        with pytest.raises(RefusedError, match="a client certificate of one identity"):
            client.models()
