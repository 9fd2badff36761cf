import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc import StatusCode

from medxgan.client import (
    BusyError,
    Client,
    CredentialsError,
    DeadlineExceededError,
    InvalidRequestError,
    MedxganClientError,
    NotFoundError,
    RefusedError,
    ServerFaultError,
    UnavailableError,
    UnsupportedError,
)
from medxgan.client.errors import ERRORS, error_from_call

EXPECTED = {
    StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    StatusCode.OUT_OF_RANGE: InvalidRequestError,
    StatusCode.NOT_FOUND: NotFoundError,
    StatusCode.UNIMPLEMENTED: UnsupportedError,
    StatusCode.FAILED_PRECONDITION: UnsupportedError,
    StatusCode.UNAUTHENTICATED: RefusedError,
    StatusCode.PERMISSION_DENIED: RefusedError,
    StatusCode.RESOURCE_EXHAUSTED: BusyError,
    StatusCode.UNAVAILABLE: UnavailableError,
    StatusCode.CANCELLED: UnavailableError,
    StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    StatusCode.INTERNAL: ServerFaultError,
    StatusCode.UNKNOWN: ServerFaultError,
    StatusCode.DATA_LOSS: ServerFaultError,
    StatusCode.ABORTED: ServerFaultError,
    StatusCode.ALREADY_EXISTS: ServerFaultError,
}


def test_the_table_covers_every_status_and_every_error() -> None:
    assert set(ERRORS) == set(StatusCode) - {StatusCode.OK}
    # What can't be shown is found before anything is sent.
    assert set(EXPECTED.values()) == set(MedxganClientError.__subclasses__()) - {CredentialsError}


@pytest.mark.parametrize("code", EXPECTED)
def test_a_status_becomes_its_error_with_the_servers_words(service, code) -> None:
    service.fail(code, "these words")
    with (
        Client(service.address, patience=0) as client,
        pytest.raises(MedxganClientError, match="these words") as caught,
    ):
        client.models()
    assert type(caught.value) is EXPECTED[code]


def test_a_wrong_field_is_named_and_the_others_are_told(service) -> None:
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field="image.tensor.data", description="expected 64 bytes"),
        error_details_pb2.BadRequest.FieldViolation(field="inversion.steps", description="expected 1 to 500"),
    ]
    service.fail(StatusCode.INVALID_ARGUMENT, "bad", error_details_pb2.BadRequest(field_violations=violations))
    with Client(service.address) as client, pytest.raises(InvalidRequestError) as caught:
        client.models()
    assert caught.value.field == "image.tensor.data"
    assert str(caught.value) == "image.tensor.data: expected 64 bytes; inversion.steps: expected 1 to 500"


@pytest.mark.parametrize(
    ("message", "text"),
    [("internal error", "internal error (id f00d)"), ("internal error f00d", "internal error f00d")],
)
def test_a_fault_carries_the_id_of_the_servers_log(service, message: str, text: str) -> None:
    service.fail(StatusCode.INTERNAL, message, error_details_pb2.RequestInfo(request_id="f00d"))
    with Client(service.address) as client, pytest.raises(ServerFaultError) as caught:
        client.models()
    assert caught.value.id == "f00d"
    assert str(caught.value) == text


def test_a_busy_server_says_for_how_long(service) -> None:
    service.fail(
        StatusCode.RESOURCE_EXHAUSTED,
        "the queue is full",
        error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
    )
    with Client(service.address, patience=0) as client, pytest.raises(BusyError) as caught:
        client.models()
    assert caught.value.retry_delay == 1.5


def test_a_message_over_the_servers_limit_is_the_images_fault(service) -> None:
    # gRPC's own limit is 4 MiB where a server sets none.
    image = np.zeros((2304, 2304), np.uint8)
    with Client(service.address) as client, pytest.raises(InvalidRequestError, match="over the server") as caught:
        client.classify(image)
    assert caught.value.field == "image"
    assert service.requests == []


class GarbledCall(grpc.RpcError):
    """A failed call whose details a proxy has garbled."""

    def __init__(self, details: bytes) -> None:
        self._details = details

    def code(self) -> StatusCode:
        return StatusCode.NOT_FOUND

    def details(self) -> str:
        return "no such model"

    def trailing_metadata(self):
        return (("grpc-status-details-bin", self._details),)


# Not a message at all; and the well-formed status 3 (INVALID_ARGUMENT) beside another code.
@pytest.mark.parametrize("details", [b"\xff\xff\xff", b"\x08\x03"])
def test_garbled_details_leave_the_code_and_the_message(details: bytes) -> None:
    error = error_from_call(GarbledCall(details))
    assert type(error) is NotFoundError
    assert str(error) == "no such model"
