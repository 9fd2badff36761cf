"""Calls that another server took are answered as by a port of our own: messages, statuses, details, cancellation."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from medxgan.server.cluster.calls import Call, Handlers, RefusedError
from medxgan.server.models.repository import ModelRepository
from medxgan.server.services import Services
from medxgan.server.settings import ServerSettings
from medxgan.v1.explanation_pb2 import ExplainRequest, Image, ListModelsRequest, ModelSelector

EXPLANATIONS = "/medxgan.v1.ExplanationService/"
LARGE = ExplainRequest(image=Image(encoded=b"x" * 2000))
CHECK = "/grpc.health.v1.Health/Check"


class Foreign:
    """What a call brings along."""

    def __init__(self, *headers: tuple[str, str]) -> None:
        self._headers = headers

    def peer(self) -> str:
        return "ipv4:192.0.2.1:50000"

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._headers


async def nowhere(message: Message) -> None:
    raise AssertionError(f"nothing was to be written, got {message}")


def answered(method: str, request: Message, *headers: tuple[str, str], **settings: object) -> Message | None:
    """What services without a model answer."""

    async def answer() -> Message | None:
        chosen = ServerSettings(**settings)
        services = Services(chosen, ModelRepository([]))
        handlers = Handlers(services.interceptors, chosen.maximum_message_bytes)
        services.add_to(handlers)
        await services.warm_up()
        try:
            return await handlers.answer(method, request, Call(Foreign(*headers), nowhere))
        finally:
            await services.stop()

    return asyncio.run(answer())


def details(refused: RefusedError) -> status_pb2.Status:
    return status_pb2.Status.FromString(dict(refused.trailing_metadata)["grpc-status-details-bin"])


def test_a_method_answers_as_behind_a_port_of_its_own() -> None:
    response = answered(EXPLANATIONS + "ListModels", ListModelsRequest(), maximum_side=123)
    assert response.server.limits.image_side == 123
    assert answered(CHECK, HealthCheckRequest()) == HealthCheckResponse(status=HealthCheckResponse.SERVING)


def test_what_is_wrong_with_a_request_is_said_by_field() -> None:
    with pytest.raises(RefusedError) as refused:
        answered(EXPLANATIONS + "Explain", ExplainRequest())
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = error_details_pb2.BadRequest.FromString(details(refused.value).details[0].value).field_violations
    assert violation.field == "image"


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        (
            EXPLANATIONS + "Explain",
            ExplainRequest(image=Image(encoded=b"x" * 2000)),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        ),
        (EXPLANATIONS + "NoSuchMethod", ListModelsRequest(), grpc.StatusCode.UNIMPLEMENTED),
        (CHECK, HealthCheckRequest(service="no such service"), grpc.StatusCode.NOT_FOUND),
    ],
    ids=["larger than may be", "no such method", "aborted by the service"],
)
def test_every_refusal_has_a_status_of_ours(method: str, request_: Message, code: grpc.StatusCode) -> None:
    with pytest.raises(RefusedError) as refused:
        answered(method, request_, maximum_message_bytes=1024)
    assert refused.value.code == code
    assert details(refused.value).code == code.value[0]


def test_a_token_is_asked_for_where_there_are_identities(tmp_path) -> None:
    file = tmp_path / "identities.toml"
    file.write_text("")
    with pytest.raises(RefusedError) as refused:
        answered(EXPLANATIONS + "ListModels", ListModelsRequest(), ("authorization", "Bearer x"), identities=file)
    assert refused.value.code == grpc.StatusCode.UNAUTHENTICATED
    assert answered(CHECK, HealthCheckRequest(), identities=file).status == HealthCheckResponse.SERVING


def test_an_error_that_nobody_foresaw_is_not_quoted() -> None:
    class Broken(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation, handler_call_details):
            raise KeyError("the patient's name")

    async def answer() -> None:
        handlers = Handlers([Broken()], 1024)
        await handlers.answer(EXPLANATIONS + "GetModel", ModelSelector(), Call(Foreign(), nowhere))

    with pytest.raises(RefusedError) as refused:
        asyncio.run(answer())
    assert refused.value.code == grpc.StatusCode.INTERNAL
    assert "patient" not in refused.value.details


def test_who_leaves_cancels_the_service_that_answers() -> None:
    ended = []

    async def endless(messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
        try:
            await context.write(HealthCheckResponse())
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def leave() -> None:
        handlers = Handlers([], 1024)
        method = grpc.stream_stream_rpc_method_handler(endless)
        handlers.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("s", {"m": method}),))
        written: asyncio.Queue[Message] = asyncio.Queue()
        answering = asyncio.create_task(handlers.answer("/s/m", HealthCheckRequest(), Call(Foreign(), written.put)))
        await written.get()
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        assert answering.cancelled()

    asyncio.run(leave())
    assert ended == [True]
