"""Who finds no room hears so before anything is done for the request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from tests.bundle_copies import put_copy

from medxgan.server.models.repository import ModelRepository
from medxgan.server.open_inference import service as open_inference
from medxgan.server.open_inference.messages import inference
from medxgan.server.services import loaded_models
from medxgan.server.serving import Server
from medxgan.server.settings import ServerSettings
from medxgan.server.telemetry.statistics import FailureReason
from medxgan.server.wire.service import SERVICE_NAME
from medxgan.v1.explanation_pb2 import ExplainRequest, ListModelsRequest, ModelSelector
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub


class Serving:
    """A server of models that take one request each, and a channel to it."""

    def __init__(self, server: Server, models: ModelRepository, channel: grpc.aio.Channel) -> None:
        self.server, self.models, self.channel = server, models, channel
        self.telemetry = server._services.telemetry

    async def refusal(self, call: grpc.aio.Call) -> tuple[grpc.StatusCode, int]:
        """The code that a call ends with, and the milliseconds after which its caller may come back."""
        code = await call.code()
        status = status_pb2.Status.FromString(dict(await call.trailing_metadata())["grpc-status-details-bin"])
        retry = error_details_pb2.RetryInfo()
        return code, retry.retry_delay.ToMilliseconds() if status.details[0].Unpack(retry) else 0

    def figure(self, name: str, **labels: str) -> float | None:
        return self.telemetry.metrics.registry.get_sample_value(name, labels)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Serving]:
    settings = ServerSettings(
        models=folder, address="127.0.0.1:0", maximum_batch=1, maximum_waiting=0, retry_delay_seconds=1.5, threads=1
    )
    models = await asyncio.to_thread(loaded_models, settings)
    server = Server(settings, models)
    address = f"127.0.0.1:{await server.listen()}"
    try:
        async with asyncio.timeout(60), grpc.aio.insecure_channel(address) as channel:
            yield Serving(server, models, channel)
    finally:
        await server.stop()


@pytest.mark.parametrize("method", ["Explain", "ExplainStream", "Classify"])
def test_who_finds_no_room_is_refused_before_the_message_has_come(method: str, several_folder: Path) -> None:
    async def scenario() -> None:
        async with serving(several_folder.parent.parent) as there:
            (model,) = there.models
            with model.admission.enter("another"):
                # A call that sends nothing, and does not end: no message will ever come.
                kind = there.channel.stream_stream if method == "ExplainStream" else there.channel.stream_unary
                call = kind(f"/{SERVICE_NAME}/{method}")()
                assert await there.refusal(call) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1500)
                listed = await ExplanationServiceStub(there.channel).ListModels(ListModelsRequest())
                assert listed.models, "what takes no place is answered"
            assert there.figure("medxgan_requests_total", method=method, code="RESOURCE_EXHAUSTED") == 1
            assert there.figure("medxgan_refused_total", reason="BusyError") == 1
            failures = there.telemetry.statistics.of(("several", "1")).failures
            assert failures[FailureReason.REJECTED].count == 1
            # With room the message is read: bytes that are none are the caller's fault.
            with pytest.raises(grpc.aio.AioRpcError) as wrong:
                await there.channel.unary_unary(f"/{SERVICE_NAME}/Classify")(b"\xff")
            assert wrong.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    asyncio.run(scenario())


def test_of_several_models_the_message_says_whose_room_it_takes(several_folder: Path, tmp_path: Path) -> None:
    for name in ("full", "free"):
        put_copy(several_folder, tmp_path / "models", f"{name}/1")

    async def code(there: Serving, name: str) -> grpc.StatusCode:
        asked = ExplainRequest(model=ModelSelector(name=name))
        asked.image.encoded = b"no image"
        asked.settings.target_class = "no class"
        return await ExplanationServiceStub(there.channel).Explain(asked).code()

    async def scenario() -> None:
        async with serving(tmp_path / "models") as there:
            with there.models.select(ModelSelector(name="full")).admission.enter("another"):
                assert await code(there, "full") is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert await code(there, "free") is grpc.StatusCode.INVALID_ARGUMENT
                assert await code(there, "none") is grpc.StatusCode.NOT_FOUND
            assert await code(there, "full") is grpc.StatusCode.INVALID_ARGUMENT

    asyncio.run(scenario())


def test_the_open_inference_protocol_is_refused_before_an_image_is_read(several_folder: Path) -> None:
    async def scenario() -> None:
        async with serving(several_folder.parent.parent) as there:
            infer = there.channel.unary_unary(
                f"/{open_inference.SERVICE_NAME}/ModelInfer",
                request_serializer=inference.ModelInferRequest.SerializeToString,
            )
            index = there.channel.unary_unary(
                f"/{open_inference.SERVICE_NAME}/RepositoryIndex",
                request_serializer=inference.RepositoryIndexRequest.SerializeToString,
                response_deserializer=inference.RepositoryIndexResponse.FromString,
            )
            name = (await index(inference.RepositoryIndexRequest())).models[0].name
            (model,) = there.models
            without_image = inference.ModelInferRequest(model_name=name)
            with model.admission.enter("another"):
                expected = (grpc.StatusCode.RESOURCE_EXHAUSTED, 1500)
                assert await there.refusal(infer(without_image)) == expected
            assert await infer(without_image).code() is grpc.StatusCode.INVALID_ARGUMENT

    asyncio.run(scenario())
