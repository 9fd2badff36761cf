"""What one caller may take of a server: requests a second and at once, time, headers; others are answered."""

import resource
import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from tests.end_to_end.guarded import LIST_MODELS, NO_MODEL, TOKEN, Stream, asked, called, guarded, identities, known

from medxgan.client import BusyError
from medxgan.server.identity.tokens import digest
from medxgan.v1.explanation_pb2 import ListModelsRequest
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

STATUS = Path("/proc/self/statm")


def test_a_rate_is_of_one_caller_and_says_when_to_come_back(identities_file: Path) -> None:
    other = secrets.token_hex(32)
    tables = known("viewer", tokens=digest(TOKEN)), known("archive", tokens=digest(other))
    with guarded(identities=identities(identities_file, *tables), maximum_rate_per_caller=0.001) as address:
        assert asked(address, TOKEN) == ""
        with pytest.raises(BusyError, match=r"at most 0\.001 requests a second") as busy:
            asked(address, TOKEN)
        assert busy.value.retry_delay is not None
        assert 0 < busy.value.retry_delay <= 1000
        assert asked(address, other) == ""


def test_requests_of_a_stream_count_as_others_do(identities_file: Path) -> None:
    table = known("viewer", tokens=digest(TOKEN))
    with (
        guarded(identities=identities(identities_file, table), maximum_rate_per_caller=0.001) as address,
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


def test_requests_at_once_are_counted_by_caller(identities_file: Path) -> None:
    table = known("viewer", tokens=digest(TOKEN))
    with (
        guarded(
            identities=identities(identities_file, table), maximum_requests_per_caller=1, retry_delay_seconds=1.5
        ) as address,
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
def test_no_answer_takes_longer_than_the_ceiling(identities_file: Path, options: dict[str, float]) -> None:
    table = known("viewer", tokens=digest(TOKEN))
    with (
        guarded(identities=identities(identities_file, table), deadline_ceiling_seconds=0.1) as address,
        grpc.insecure_channel(address) as channel,
    ):
        unsent = Unsent(channel, **options)
        assert unsent.call.code() is StatusCode.DEADLINE_EXCEEDED
        assert "longer than 0.1 seconds" in unsent.call.details()
        unsent.told.set()


@pytest.mark.parametrize("headers", [[("flood", "x" * 2**20)], [(f"flood-{n}", "x" * 100) for n in range(1000)]])
def test_a_flood_of_headers_is_refused_and_others_are_answered(
    guarded_address: str, headers: list[tuple[str, str]]
) -> None:
    code, said = called(guarded_address, *headers)
    assert code is StatusCode.RESOURCE_EXHAUSTED
    assert "metadata size" in said
    assert asked(guarded_address, TOKEN) == ""


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="this system does not say what a process holds")
def test_headers_without_an_end_hold_no_memory_and_others_are_answered(guarded_address: str) -> None:
    host, port = guarded_address.split(":")
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
        assert asked(guarded_address, TOKEN) == ""


def resident_bytes() -> int:
    return int(STATUS.read_text().split()[1]) * resource.getpagesize()
