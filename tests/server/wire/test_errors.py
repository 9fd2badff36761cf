"""From errors to gRPC statuses, and what is said of errors that nobody foresaw."""

import asyncio
import gc
import json
import logging
import subprocess
import sys
import weakref
from collections.abc import Iterator
from typing import ClassVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from medxgan.server import errors
from medxgan.server.errors import (
    STATUS_CODES,
    BusyError,
    ImageError,
    ImageTooLargeError,
    InvalidRequestError,
    MedxganError,
    UnknownModelError,
    shown,
)
from medxgan.server.shedding import Shedding
from medxgan.server.telemetry.metrics import Metrics
from medxgan.server.telemetry.tracing import Traces
from medxgan.server.wire.interceptor import RequestInterceptor
from medxgan.server.wire.refusals import RefusalLog
from medxgan.server.wire.service import SERVICE_NAME
from medxgan.server.wire.status import known_status, status_code, to_wire
from medxgan.server.wire.uploads import UploadLimits, Uploads
from medxgan.v1.explanation_pb2 import ExplainRequest, ListModelsRequest, ListModelsResponse
from medxgan.v1.explanation_pb2_grpc import (
    ExplanationServiceServicer,
    ExplanationServiceStub,
    add_ExplanationServiceServicer_to_server,
)

SECRET = "Nobody^Shall^Know"


def descendants(kind: type[MedxganError]) -> Iterator[type[MedxganError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from descendants(child)


def test_the_table_is_complete_and_so_is_the_tree_at_the_top_of_the_file() -> None:
    tree = set(descendants(MedxganError))
    assert set(STATUS_CODES) == tree - {MedxganError}
    assert all(kind.__name__ in errors.__doc__ for kind in tree)


def test_a_class_without_a_row_takes_its_nearest_bases_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(STATUS_CODES, ImageTooLargeError)
    monkeypatch.delitem(STATUS_CODES, ImageError)
    monkeypatch.setitem(STATUS_CODES, InvalidRequestError, grpc.StatusCode.OUT_OF_RANGE)
    assert status_code(ImageTooLargeError) is grpc.StatusCode.OUT_OF_RANGE


def detail_of(error: MedxganError, kind: type[Message]) -> Message:
    (packed,) = known_status(error).details
    detail = kind()
    assert packed.Unpack(detail)
    return detail


def test_a_wrong_request_names_its_field() -> None:
    detail = detail_of(InvalidRequestError("inversion.steps", "expected 1 to 9"), error_details_pb2.BadRequest)
    (violation,) = detail.field_violations
    assert (violation.field, violation.description) == ("inversion.steps", "expected 1 to 9")


def test_a_busy_server_says_when_to_come_back() -> None:
    detail = detail_of(BusyError("full", retry_delay=2.5), error_details_pb2.RetryInfo)
    assert detail.retry_delay.ToMilliseconds() == 2500


def test_a_long_name_is_cut() -> None:
    assert shown("chest") == "chest"
    assert len(shown("n" * 10_000)) < 100


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f9e0"])
def test_a_status_has_room_in_the_headers_of_an_answer_whatever_it_says(letter: str) -> None:
    long = letter * 20_000
    for error in (InvalidRequestError(long, long), UnknownModelError(long)):
        answer = to_wire(known_status(error))
        # As gRPC sends them: what is not ASCII in percent, what is binary in base64.
        sent = 3 * len(answer.details.encode()) + sum(len(value) * 4 / 3 for _, value in answer.trailing_metadata)
        assert sent < 8 * 2**10
    assert known_status(UnknownModelError("as it is")).message == "as it is"


class Film:
    """What a request that is refused had brought."""


class FaultyService(ExplanationServiceServicer):
    """Fails in three ways, in methods of both kinds."""

    films: ClassVar[list[weakref.ref[Film]]] = []
    """Of those who were refused, as long as anything names them."""

    async def Explain(self, request: ExplainRequest, context: grpc.aio.ServicerContext) -> None:  # noqa: N802
        raise ZeroDivisionError(SECRET)

    async def ExplainStream(self, request: ExplainRequest, context: grpc.aio.ServicerContext) -> None:  # noqa: N802
        film = Film()
        self.films.append(weakref.ref(film))
        raise UnknownModelError("no model x is served") from LookupError()

    async def ListModels(  # noqa: N802
        self, request: ListModelsRequest, context: grpc.aio.ServicerContext
    ) -> ListModelsResponse:
        return ListModelsResponse()


async def call_faulty_service(method: str, request: Message, stopping: bool = False) -> grpc.aio.AioRpcError | None:
    """What a caller of one method gets to hear, also of a server that is stopping."""
    uploads = Uploads(UploadLimits(8, 8, 2**26, 2**26, 30))
    interceptor = RequestInterceptor(SERVICE_NAME, uploads, Metrics(), Shedding(), Traces(), RefusalLog())
    if stopping:
        interceptor.refuse()
    server = grpc.aio.server(interceptors=[interceptor])
    add_ExplanationServiceServicer_to_server(FaultyService(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = getattr(ExplanationServiceStub(channel), method)(request)
            try:
                await (call.read() if method == "ExplainStream" else call)
            except grpc.aio.AioRpcError as error:
                return error
            return None
    finally:
        await server.stop(None)


@pytest.mark.parametrize(("method", "request_"), [("ListModels", ListModelsRequest()), ("Explain", ExplainRequest())])
def test_a_server_that_is_stopping_refuses_what_comes(method: str, request_: Message) -> None:
    error = asyncio.run(call_faulty_service(method, request_, stopping=True))
    assert error is not None
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error.details() == "the server is stopping"


def test_an_unforeseen_error_is_answered_with_an_id_and_logged_under_it(caplog: pytest.LogCaptureFixture) -> None:
    error = asyncio.run(call_faulty_service("Explain", ExplainRequest()))
    assert error is not None
    assert error.code() is grpc.StatusCode.INTERNAL
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    detail = error_details_pb2.RequestInfo()
    assert status.details[0].Unpack(detail)
    assert error.details() == f"internal error {detail.request_id}; the server's log says more"
    (line,) = (record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)
    assert detail.request_id in line
    assert "ZeroDivisionError" in line
    assert "test_errors.py" in line, "where it happened"
    assert SECRET not in caplog.text + str(error.details()), "the text of an unforeseen error may quote the image"


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [("ListModels", ListModelsRequest(), "OK"), ("ExplainStream", ExplainRequest(), "NOT_FOUND")],
)
def test_every_request_has_one_log_line(
    method: str, request_: Message, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "medxgan")
    error = asyncio.run(call_faulty_service(method, request_))
    assert (error.code().name if error else "OK") == code
    # Other servers of this process may still be ending.
    (line,) = (record.msg for record in caplog.records if record.msg["event"] == "request")
    assert (line["event"], line["method"], line["code"]) == ("request", method, code)
    assert line["duration_ms"] >= 0


def test_nothing_names_what_was_refused() -> None:
    FaultyService.films.clear()
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            asyncio.run(call_faulty_service("ExplainStream", ExplainRequest()))
        assert [film() for film in FaultyService.films] == [None] * 3
    finally:
        gc.enable()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "console"])
def test_log_lines_are_written_to_standard_error_in_the_form_asked_for(form: str) -> None:
    program = (
        "import logging\n"
        "from medxgan.server.log import get_logger, logging_to_standard_error\n"
        f"with logging_to_standard_error({form!r}, 'info'):\n"
        "    log = get_logger('medxgan.server')\n"
        "    log.info('request', method='Explain'); log.debug('hidden'); logging.getLogger('other').info('hidden')\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (line,) = result.stderr.splitlines()
    if form == "json":
        fields = json.loads(line)
        assert (fields["event"], fields["method"], fields["level"]) == ("request", "Explain", "info")
    else:
        assert "request" in line
        assert "Explain" in line
    assert result.stdout == ""
