"""From a caller's arguments to the wire's requests: only what the caller chose is sent."""

from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.message import Message

from medxgan.client.errors import InvalidRequestError
from medxgan.client.images import ImageInput, image_message
from medxgan.client.results import IntegratedGradientsSettings, InversionSettings, OcclusionSettings, Settings
from medxgan.client.vocabulary import MapForm, MapKind, Priority, Unrecognised, to_wire
from medxgan.v1 import explanation_pb2

Chosen = TypeVar("Chosen", bound=Message)


def explain(
    image: ImageInput,
    model: str,
    version: str,
    *,
    maps: Sequence[MapKind | Unrecognised],
    form: MapForm,
    settings: Settings,
    trajectory: int | None,
    priority: Priority,
) -> explanation_pb2.ExplainRequest:
    """The request of Explain and ExplainStream; raises InvalidRequestError where it has no place on the wire."""
    if form is MapForm.PNG and not maps:
        raise InvalidRequestError("maps", "expected the maps wanted as PNG; a request that names none gets tensors")
    frames = _whole("trajectory.frames", trajectory)
    return explanation_pb2.ExplainRequest(
        model=selector(model, version),
        image=image_message(image),
        maps=[explanation_pb2.MapRequest(kind=to_wire(kind), form=to_wire(form)) for kind in maps],
        settings=_settings(settings),
        trajectory=None if frames is None else explanation_pb2.TrajectoryRequest(frames=frames, form=to_wire(form)),
        priority=explanation_pb2.PRIORITY_STAT if priority is Priority.STAT else None,
    )


def classify(image: ImageInput, model: str, version: str) -> explanation_pb2.ClassifyRequest:
    """The request of Classify; raises InvalidRequestError where it has no place on the wire."""
    return explanation_pb2.ClassifyRequest(model=selector(model, version), image=image_message(image))


def get_model(name: str, version: str) -> explanation_pb2.GetModelRequest:
    """The request of GetModel."""
    return explanation_pb2.GetModelRequest(model=selector(name, version))


def selector(name: str, version: str) -> explanation_pb2.ModelSelector:
    """Which model to use."""
    return explanation_pb2.ModelSelector(name=name, version=version)


def _settings(settings: Settings) -> explanation_pb2.ExplainSettings | None:
    inversion = settings.inversion or InversionSettings()
    path = settings.integrated_gradients or IntegratedGradientsSettings()
    windows = settings.occlusion or OcclusionSettings()
    return _chosen(
        explanation_pb2.ExplainSettings(
            target_class=settings.target_class,
            seed=_whole("settings.seed", settings.seed, bits=64),
            inversion=_chosen(
                explanation_pb2.InversionSettings(
                    steps=_whole("settings.inversion.steps", inversion.steps),
                    learning_rate=inversion.learning_rate,
                    reconstruction_weight=inversion.reconstruction_weight,
                    restarts=_whole("settings.inversion.restarts", inversion.restarts),
                    solver=None if inversion.solver is None else to_wire(inversion.solver),
                )
            ),
            integrated_gradients=_chosen(
                explanation_pb2.IntegratedGradientsSettings(
                    steps=_whole("settings.integrated_gradients.steps", path.steps), baseline=path.baseline
                )
            ),
            occlusion=_chosen(
                explanation_pb2.OcclusionSettings(
                    window=_whole("settings.occlusion.window", windows.window),
                    stride=_whole("settings.occlusion.stride", windows.stride),
                    level=windows.level,
                )
            ),
        )
    )


def _chosen(message: Chosen) -> Chosen | None:
    """The message; None where the caller chose nothing in it."""
    return message if message.ListFields() else None


def _whole(field: str, value: int | None, bits: int = 32) -> int | None:
    """A number that the wire's unsigned integer can hold; whether it makes sense is the server's to say."""
    if value is not None and not 0 <= value < 2**bits:
        raise InvalidRequestError(field, f"expected 0 to {2**bits - 1}, got {value}")
    return value
