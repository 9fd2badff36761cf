"""What the server says of itself, its models and its settings, so that clients need not guess."""

from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec

from medxgan.bundle import LoadedBundle
from medxgan.server.explanation.request import (
    MAXIMUM_MAPS,
    MAXIMUM_PATH_STEPS,
    MAXIMUM_TRAJECTORY_FRAMES,
    MAXIMUM_WINDOWS,
    resolve_settings,
)
from medxgan.server.explanation.settings import ExplanationSettings
from medxgan.server.explanation.table import MAPS, map_name, served_maps
from medxgan.server.inversion.settings import MAXIMUM_RESTARTS
from medxgan.server.models.served_model import ServedModel
from medxgan.server.settings import ServerSettings
from medxgan.v1 import bundle_pb2, explanation_pb2
from medxgan.v1.explanation_pb2 import MAP_NEED_PATH, MAP_NEED_WINDOWS


def server_description(settings: ServerSettings) -> explanation_pb2.ServerDescription:
    """Version, limits in force, and the forms of images that this installation reads."""
    forms = [explanation_pb2.IMAGE_FORM_TENSOR, explanation_pb2.IMAGE_FORM_ENCODED]
    if find_spec("pydicom") is not None:
        forms.append(explanation_pb2.IMAGE_FORM_DICOM)
    return explanation_pb2.ServerDescription(
        version=version("medxgan"),
        limits=explanation_pb2.Limits(
            message_bytes=settings.maximum_message_bytes,
            image_side=settings.maximum_side,
            image_pixels=settings.maximum_pixels,
            decompressed_bytes=settings.maximum_decompressed_bytes,
            maps=MAXIMUM_MAPS,
            restarts=MAXIMUM_RESTARTS,
            path_steps=MAXIMUM_PATH_STEPS,
            occlusion_windows=MAXIMUM_WINDOWS,
            trajectory_frames=MAXIMUM_TRAJECTORY_FRAMES,
        ),
        image_forms=forms,
    )


def identity(model: ServedModel) -> explanation_pb2.ModelIdentity:
    """Which model it is."""
    return _identity(model.bundle)


def execution(model: ServedModel) -> explanation_pb2.Execution:
    """How it is really run."""
    running = model.engine.execution
    return explanation_pb2.Execution(
        engine=running.engine,
        provider=running.provider,
        requested=running.requested,
        fallback=bool(running.fallback_reason),
        fallback_reason=running.fallback_reason,
    )


def model_summary(model: ServedModel, default: ServedModel | None) -> explanation_pb2.ModelSummary:
    """One line of ListModels."""
    summary = bundle_summary(model.bundle, model is default)
    summary.execution.CopyFrom(execution(model))
    return summary


def bundle_summary(bundle: LoadedBundle, is_default: bool) -> explanation_pb2.ModelSummary:
    """One line of ListModels, of a model that is not loaded: nobody knows yet how it is run."""
    description = bundle.description
    return explanation_pb2.ModelSummary(
        model=_identity(bundle),
        modality=description.image.modality,
        positive_class=description.classification.positive_class,
        negative_class=description.classification.negative_class,
        license=description.provenance.license,
        has_generator=bundle.has_generator,
        is_default=is_default,
    )


def model_description(
    model: ServedModel, server: explanation_pb2.ServerDescription
) -> explanation_pb2.GetModelResponse:
    """The answer to GetModel."""
    description = model.bundle.description
    served = served_maps(description)
    defaults = resolve_settings(explanation_pb2.ExplainRequest(), description)
    return explanation_pb2.GetModelResponse(
        model=identity(model),
        bundle=description,
        execution=execution(model),
        maps=[_map_description(kind, description, defaults) for kind in served],
        default_settings=settings_in_force(replace(defaults, maps=served)),
        server=server,
    )


def settings_in_force(settings: ExplanationSettings) -> explanation_pb2.ExplainSettings:
    """The settings in force, of the parts that the maps wanted used."""
    needs = {need for kind in settings.maps for need in MAPS[kind].needs}
    stated = explanation_pb2.ExplainSettings(target_class=settings.target, seed=settings.seed)
    if settings.inversion is not None:
        stated.inversion.steps = settings.inversion.steps
        stated.inversion.learning_rate = settings.inversion.learning_rate
        stated.inversion.reconstruction_weight = settings.inversion.reconstruction_weight
        stated.inversion.restarts = settings.inversion.restarts
        stated.inversion.solver = settings.inversion.solver
    if MAP_NEED_PATH in needs:
        stated.integrated_gradients.steps = settings.path_steps
        stated.integrated_gradients.baseline = settings.baseline
    if MAP_NEED_WINDOWS in needs:
        stated.occlusion.window = settings.window
        stated.occlusion.stride = settings.stride
        stated.occlusion.level = settings.level
    return stated


def _identity(bundle: LoadedBundle) -> explanation_pb2.ModelIdentity:
    description = bundle.description
    return explanation_pb2.ModelIdentity(
        name=description.name, version=description.version, bundle_sha256=bundle.sha256
    )


def _map_description(
    kind: explanation_pb2.MapKind, bundle: bundle_pb2.Bundle, defaults: ExplanationSettings
) -> explanation_pb2.MapDescription:
    method = MAPS[kind]
    return explanation_pb2.MapDescription(
        kind=kind,
        name=map_name(kind),
        title=method.title,
        unit=method.unit,
        range=None if method.range is None else bundle_pb2.Interval(minimum=method.range[0], maximum=method.range[1]),
        channels=method.channels,
        needs=method.needs,
        cost=round(method.passes(defaults, bundle.image.height)),
        is_default=kind in defaults.maps,
        any_class=method.any_class,
    )
