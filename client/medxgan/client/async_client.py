"""The client of a medxgan server for asyncio."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

import grpc
import grpc.aio

from medxgan.client import answers, requests
from medxgan.client.connection import Connection
from medxgan.client.errors import ServerFaultError
from medxgan.client.images import ImageInput
from medxgan.client.results import (
    Classification,
    Explanation,
    ModelDescription,
    ModelSummary,
    Progress,
    ServerDescription,
    Settings,
)
from medxgan.client.vocabulary import MapForm, MapKind, Priority, Unrecognised
from medxgan.v1 import explanation_pb2

DEFAULT_SETTINGS = Settings()


class AsyncClient(Connection):
    """A client of a medxgan server for one event loop, in which it is made; many tasks may use it.

    Arguments, answers, errors and retries are those of `Client`. A cancelled task ends the server's compute.
    """

    _grpc: ClassVar[Any] = grpc.aio

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection; calls under way are cancelled."""
        self._closed = True
        await self._channel.close()

    async def explain(
        self,
        image: ImageInput,
        *,
        model: str = "",
        version: str = "",
        maps: Sequence[MapKind | Unrecognised] = (),
        form: MapForm = MapForm.TENSOR,
        settings: Settings = DEFAULT_SETTINGS,
        trajectory: int | None = None,
        priority: Priority = Priority.ROUTINE,
    ) -> Explanation:
        """Explain one image; see `Client.explain`."""
        # In a thread: a large film takes long to read and to pack.
        request = await asyncio.to_thread(
            requests.explain,
            image,
            model,
            version,
            maps=maps,
            form=form,
            settings=settings,
            trajectory=trajectory,
            priority=priority,
        )
        return answers.explanation(await self._call(self._stub.Explain, request))

    async def explain_stream(
        self,
        image: ImageInput,
        *,
        model: str = "",
        version: str = "",
        maps: Sequence[MapKind | Unrecognised] = (),
        form: MapForm = MapForm.TENSOR,
        settings: Settings = DEFAULT_SETTINGS,
        trajectory: int | None = None,
        priority: Priority = Priority.ROUTINE,
    ) -> AsyncGenerator[Progress | Explanation, None]:
        """Explain one image: yields its progress after every block of gradient steps, then the explanation.

        Steps are counted as in `Client.explain_stream`. Whoever leaves the loop early closes the generator, such as by
        `contextlib.aclosing`, to end the server's compute at once.
        """
        request = await asyncio.to_thread(
            requests.explain,
            image,
            model,
            version,
            maps=maps,
            form=form,
            settings=settings,
            trajectory=trajectory,
            priority=priority,
        )
        tries = self._tries()
        while True:
            stream = self._stub.ExplainStream(request, timeout=tries.seconds_left, metadata=self._headers())
            try:
                async for message in stream:
                    event = answers.stream_event(message)
                    if event is not None:
                        yield event
                    if isinstance(event, Explanation):
                        return
                raise ServerFaultError("the stream ended without a result")
            except grpc.RpcError as failure:
                delay = tries.delay_after(failure)
            finally:
                stream.cancel()
            await asyncio.sleep(delay)

    async def classify(self, image: ImageInput, *, model: str = "", version: str = "") -> Classification:
        """Score one image; the arguments are those of `explain`."""
        request = await asyncio.to_thread(requests.classify, image, model, version)
        return answers.classification(await self._call(self._stub.Classify, request))

    async def models(self) -> tuple[ModelSummary, ...]:
        """List the models that are served, by name and version."""
        return answers.models(await self._call(self._stub.ListModels, explanation_pb2.ListModelsRequest()))

    async def server(self) -> ServerDescription:
        """Say what the server is and takes."""
        answer = await self._call(self._stub.ListModels, explanation_pb2.ListModelsRequest())
        return answers.server_description(answer.server)

    async def model(self, name: str = "", version: str = "") -> ModelDescription:
        """Describe one model: its bundle, how it is run, the maps and settings that it has."""
        return answers.model_description(await self._call(self._stub.GetModel, requests.get_model(name, version)))

    async def _call(self, method: Any, request: object) -> Any:
        tries = self._tries()
        while True:
            try:
                return await method(request, timeout=tries.seconds_left, metadata=self._headers())
            except grpc.RpcError as failure:
                delay = tries.delay_after(failure)
            await asyncio.sleep(delay)
