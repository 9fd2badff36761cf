"""The Python client of a medxgan server."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from medxgan.client import answers, requests
from medxgan.client.errors import ServerFaultError, error_from_call
from medxgan.client.images import ImageInput
from medxgan.client.results import (
    QUICK_METHODS,
    Attribution,
    AttributionMethod,
    Classification,
    Explanation,
    IntegratedGradientsSettings,
    MapKind,
    ModelDescription,
    ModelSummary,
    OcclusionSettings,
    Progress,
)
from medxgan.client.retries import call_with_retries
from medxgan.v1 import explanation_pb2, explanation_pb2_grpc

LOOPBACK = ("127.", "localhost:", "[::1]:")


class Client:
    """A connection to a medxgan server; one client may be used from many threads.

    Every method raises a `MedxganClientError`: `InvalidRequestError` names the field of the request that is wrong,
    `NotFoundError` an unknown model, and so on, see `medxgan.client.errors`. Every call changes nothing on the server,
    so it is made again where the server was away or busy.

    Args:
        address: HOST:PORT.
        timeout: seconds for one method, its retries included.
        retries: how often a call is made again; 0 for never.
        credentials: for TLS, from `grpc.ssl_channel_credentials()`; None sends in the clear.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float = 300.0,
        retries: int = 4,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        options: list[tuple[str, int]] = [
            # Maps are as large as the bundle makes them, and the caller has chosen this server.
            ("grpc.max_receive_message_length", -1),
            ("grpc.initial_reconnect_backoff_ms", 100),
        ]
        if address.startswith(LOOPBACK):
            options.append(("grpc.enable_http_proxy", 0))
        self._channel = (
            grpc.secure_channel(address, credentials, options)
            if credentials is not None
            else grpc.insecure_channel(address, options)
        )
        self._stub = explanation_pb2_grpc.ExplanationServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._timeout = timeout
        self._retries = retries

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
        self._channel.close()

    def explain(
        self,
        image: ImageInput,
        *,
        model: str = "",
        version: str = "",
        steps: int | None = None,
        learning_rate: float | None = None,
        reconstruction_weight: float | None = None,
        restarts: int | None = None,
        seed: int = 0,
        maps: Sequence[MapKind] = (),
        trajectory: int | None = None,
    ) -> Explanation:
        """Explain one image.

        Args:
            image: an array, or a PNG, JPEG, TIFF or DICOM file as path or bytes; see `images.image_message`.
            model: name of the model; empty for the only one that is served.
            version: its version; empty for the highest.
            steps: gradient steps; None for the bundle's default, as for the next two.
            learning_rate: Adam's learning rate.
            reconstruction_weight: λ, the weight of the mean squared error against the class term.
            restarts: inversions from different starts, 1 to 16, the best of which is the answer; None for 1. The time
                that it takes is in proportion.
            seed: seed of the random starts. Same request, seed and bundle: same maps.
            maps: the maps wanted; none named: the first five kinds, original to colorized. UNCERTAINTY needs 2 or more
                restarts; POSITIVE_REALIZATION starts a search where the image is negative.
            trajectory: pictures wanted of the way from the negative realization to the positive one, 2 to 64, both ends
                counted; None for none. It starts the same search.
        """
        request = requests.explain(
            image,
            model,
            version,
            requests.inversion(steps, learning_rate, reconstruction_weight, restarts),
            seed=seed,
            maps=maps,
            trajectory=trajectory,
        )
        return answers.explanation(self._call(self._stub.Explain, request))

    def explain_stream(
        self,
        image: ImageInput,
        *,
        on_progress: Callable[[Progress], None],
        model: str = "",
        version: str = "",
        steps: int | None = None,
        learning_rate: float | None = None,
        reconstruction_weight: float | None = None,
        restarts: int | None = None,
        seed: int = 0,
        maps: Sequence[MapKind] = (),
        trajectory: int | None = None,
    ) -> Explanation:
        """Explain one image as `explain` does, and hear of its progress after every block of gradient steps.

        The inversion comes first; the search for a positive realization, where there is one, counts its steps anew.
        A call that was cut off after the first progress is not made again.
        """
        request = requests.explain(
            image,
            model,
            version,
            requests.inversion(steps, learning_rate, reconstruction_weight, restarts),
            seed=seed,
            maps=maps,
            trajectory=trajectory,
        )

        def follow(seconds: float) -> Explanation:
            stream = self._stub.ExplainStream(request, timeout=seconds)
            begun = False
            try:
                for message in stream:
                    begun = True
                    if message.HasField("result"):
                        return answers.explanation(message.result)
                    on_progress(answers.progress(message.progress))
            except grpc.RpcError as failure:
                if begun:
                    raise error_from_call(failure) from failure
                raise
            finally:
                # Without effect on a stream that has ended; else (Ctrl-C) the server stops computing.
                stream.cancel()
            raise ServerFaultError("the stream ended without a result")

        return call_with_retries(follow, timeout=self._timeout, retries=self._retries)

    def classify(self, image: ImageInput, *, model: str = "", version: str = "") -> Classification:
        """Score one image; the arguments are those of `explain`."""
        request = requests.classify(image, model, version)
        return answers.classification(self._call(self._stub.Classify, request))

    def attribute(
        self,
        image: ImageInput,
        *,
        methods: Sequence[AttributionMethod] = QUICK_METHODS,
        model: str = "",
        version: str = "",
        target: int | None = None,
        integrated_gradients: IntegratedGradientsSettings = IntegratedGradientsSettings(),  # noqa: B008 (frozen)
        occlusion: OcclusionSettings = OcclusionSettings(),  # noqa: B008 (frozen)
        steps: int | None = None,
        learning_rate: float | None = None,
        reconstruction_weight: float | None = None,
        restarts: int | None = None,
        seed: int = 0,
    ) -> Attribution:
        """Show what in one image the score depends on; arguments that are not named here are those of `explain`.

        The inversion's arguments (`steps` to `seed`) are for the methods that need the generator.

        Args:
            image: as for `explain`.
            methods: the methods wanted, from one call. None named: the four that every bundle serves from one pass over
                the image; `client.model(name).methods` are all that a bundle can serve, and take longer.
            model: name of the model.
            version: its version.
            target: index of the classifier's output to attribute; None for the positive class.
            integrated_gradients: settings of the methods that integrate gradients.
            occlusion: settings of the occlusion map.
            steps: gradient steps of the inversion.
            learning_rate: Adam's learning rate.
            reconstruction_weight: λ.
            restarts: inversions from different starts.
            seed: seed of the inversion's random start.
        """
        request = requests.attribute(
            image,
            methods,
            model,
            version,
            target,
            integrated_gradients=integrated_gradients,
            occlusion=occlusion,
            inversion=requests.inversion(steps, learning_rate, reconstruction_weight, restarts),
            seed=seed,
        )
        return answers.attribution(self._call(self._stub.Attribute, request))

    def models(self) -> tuple[ModelSummary, ...]:
        """List the models that are served, by name and version."""
        answer = self._call(self._stub.ListModels, explanation_pb2.ListModelsRequest())
        return tuple(answers.model_summary(model) for model in answer.models)

    def model(self, name: str = "", version: str = "") -> ModelDescription:
        """Describe one model: its bundle and how it is run."""
        request = explanation_pb2.GetModelRequest(model=requests.selector(name, version))
        return answers.model_description(self._call(self._stub.GetModel, request))

    def _call(self, method: grpc.UnaryUnaryMultiCallable, request: object) -> Any:
        return call_with_retries(
            lambda seconds: method(request, timeout=seconds), timeout=self._timeout, retries=self._retries
        )
