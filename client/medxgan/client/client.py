"""The client of a medxgan server."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

import grpc

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


class Client(Connection):
    """A client of a medxgan server; one may be used from many threads. `AsyncClient` is its counterpart for asyncio.

    Every method raises a `MedxganClientError`: `InvalidRequestError` names the field of the request that is wrong,
    `NotFoundError` an unknown model, and so on, see `medxgan.client.errors`. An exception that ends the wait, Ctrl-C
    among them, ends the server's compute too. The arguments of the constructor are those of `Connection`.
    """

    _grpc: ClassVar[Any] = grpc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; calls under way are cancelled."""
        self._closed = True
        self._channel.close()

    def explain(
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
        keep: Callable[[bytes], None] | None = None,
    ) -> Explanation:
        """Explain one image.

        Args:
            image: an array, a PNG, JPEG, TIFF or DICOM file as path or bytes, or an `Image` that says more of it.
            model: name of the model; empty for the server's default.
            version: its version; empty for the highest.
            maps: the maps wanted, pictures and attributions alike; none named: the model's default maps. All come from
                one inversion, and only maps that need it start one.
            form: how maps are sent.
            settings: what is left out takes its default.
            trajectory: pictures wanted of the way from the negative realization to the positive one, 2 to 64, both ends
                counted; None for none. For a negative image it starts the search for a positive realization, as
                `MapKind.POSITIVE_REALIZATION` does.
            priority: how urgent it is: STAT goes before ROUTINE where requests wait, and changes no result.
            keep: hears the answer as it came, for `answers.kept_explanation` to read again.
        """
        request = requests.explain(
            image, model, version, maps=maps, form=form, settings=settings, trajectory=trajectory, priority=priority
        )
        answer = self._call(self._stub.Explain, request)
        if keep is not None:
            keep(answer.SerializeToString())
        return answers.explanation(answer)

    def explain_stream(
        self,
        image: ImageInput,
        *,
        on_progress: Callable[[Progress], None],
        model: str = "",
        version: str = "",
        maps: Sequence[MapKind | Unrecognised] = (),
        form: MapForm = MapForm.TENSOR,
        settings: Settings = DEFAULT_SETTINGS,
        trajectory: int | None = None,
        priority: Priority = Priority.ROUTINE,
    ) -> Explanation:
        """Explain one image as `explain` does, and hear of its progress after every block of gradient steps.

        The inversion comes first; the search for a positive realization, where there is one, counts its steps anew, and
        so does a call that was cut off and is made again.
        """
        request = requests.explain(
            image, model, version, maps=maps, form=form, settings=settings, trajectory=trajectory, priority=priority
        )
        tries = self._tries()
        while True:
            stream = self._stub.ExplainStream(request, timeout=tries.seconds_left, metadata=self._headers())
            try:
                for message in stream:
                    event = answers.stream_event(message)
                    if isinstance(event, Explanation):
                        return event
                    if event is not None:
                        on_progress(event)
                raise ServerFaultError("the stream ended without a result")
            except grpc.RpcError as failure:
                delay = tries.delay_after(failure)
            finally:
                # Without effect on a stream that has ended; else the server stops computing.
                stream.cancel()
            time.sleep(delay)

    def classify(self, image: ImageInput, *, model: str = "", version: str = "") -> Classification:
        """Score one image; the arguments are those of `explain`."""
        request = requests.classify(image, model, version)
        return answers.classification(self._call(self._stub.Classify, request))

    def models(self) -> tuple[ModelSummary, ...]:
        """List the models that are served, by name and version."""
        return answers.models(self._call(self._stub.ListModels, explanation_pb2.ListModelsRequest()))

    def server(self) -> ServerDescription:
        """Say what the server is and takes."""
        answer = self._call(self._stub.ListModels, explanation_pb2.ListModelsRequest())
        return answers.server_description(answer.server)

    def model(self, name: str = "", version: str = "") -> ModelDescription:
        """Describe one model: its bundle, how it is run, the maps and settings that it has."""
        return answers.model_description(self._call(self._stub.GetModel, requests.get_model(name, version)))

    def _call(self, method: Any, request: object) -> Any:
        tries = self._tries()
        while True:
            call = method.future(request, timeout=tries.seconds_left, metadata=self._headers())
            try:
                return call.result()
            except grpc.RpcError as failure:
                delay = tries.delay_after(failure)
            finally:
                call.cancel()
            time.sleep(delay)
