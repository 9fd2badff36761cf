"""From a caller's arguments to the wire's requests: only what the caller chose is sent."""

from collections.abc import Sequence

from medxgan.client.enums import to_wire
from medxgan.client.errors import InvalidRequestError
from medxgan.client.images import ImageInput, image_message
from medxgan.client.results import AttributionMethod, IntegratedGradientsSettings, MapKind, OcclusionSettings
from medxgan.v1 import explanation_pb2


def explain(
    image: ImageInput,
    model: str,
    version: str,
    inversion: explanation_pb2.InversionSettings | None,
    *,
    seed: int,
    maps: Sequence[MapKind],
    trajectory: int | None,
) -> explanation_pb2.ExplainRequest:
    """The request of Explain and ExplainStream; raises InvalidRequestError where it has no place on the wire."""
    frames = _whole("trajectory.frames", trajectory)
    return explanation_pb2.ExplainRequest(
        model=selector(model, version),
        image=image_message(image),
        inversion=inversion,
        maps=[explanation_pb2.MapRequest(kind=to_wire(kind), form=explanation_pb2.MAP_FORM_TENSOR) for kind in maps],
        seed=_whole("seed", seed, bits=64),
        trajectory=None
        if frames is None
        else explanation_pb2.TrajectoryRequest(frames=frames, form=explanation_pb2.MAP_FORM_TENSOR),
    )


def classify(image: ImageInput, model: str, version: str) -> explanation_pb2.ClassifyRequest:
    """The request of Classify; raises InvalidRequestError where it has no place on the wire."""
    return explanation_pb2.ClassifyRequest(model=selector(model, version), image=image_message(image))


def attribute(
    image: ImageInput,
    methods: Sequence[AttributionMethod],
    model: str,
    version: str,
    target: int | None,
    *,
    integrated_gradients: IntegratedGradientsSettings,
    occlusion: OcclusionSettings,
    inversion: explanation_pb2.InversionSettings | None,
    seed: int,
) -> explanation_pb2.AttributeRequest:
    """The request of Attribute; raises InvalidRequestError where it has no place on the wire."""
    path = explanation_pb2.IntegratedGradientsSettings(
        steps=_whole("integrated_gradients.steps", integrated_gradients.steps), baseline=integrated_gradients.baseline
    )
    windows = explanation_pb2.OcclusionSettings(
        window=_whole("occlusion.window", occlusion.window),
        stride=_whole("occlusion.stride", occlusion.stride),
        level=occlusion.level,
    )
    return explanation_pb2.AttributeRequest(
        model=selector(model, version),
        image=image_message(image),
        methods=[to_wire(method) for method in methods],
        target=_whole("target", target),
        integrated_gradients=path if path.ListFields() else None,
        occlusion=windows if windows.ListFields() else None,
        inversion=inversion,
        seed=_whole("seed", seed, bits=64),
    )


def inversion(
    steps: int | None, learning_rate: float | None, reconstruction_weight: float | None, restarts: int | None
) -> explanation_pb2.InversionSettings | None:
    """The inversion's settings; None where the caller chose none of them."""
    settings = explanation_pb2.InversionSettings(
        steps=_whole("inversion.steps", steps),
        learning_rate=learning_rate,
        reconstruction_weight=reconstruction_weight,
        restarts=_whole("inversion.restarts", restarts),
    )
    return settings if settings.ListFields() else None


def selector(name: str, version: str) -> explanation_pb2.ModelSelector:
    """Which model to use."""
    return explanation_pb2.ModelSelector(name=name, version=version)


def _whole(field: str, value: int | None, bits: int = 32) -> int | None:
    """A number that the wire's unsigned integer can hold; whether it makes sense is the server's to say."""
    if value is not None and not 0 <= value < 2**bits:
        raise InvalidRequestError(field, f"expected 0 to {2**bits - 1}, got {value}")
    return value
