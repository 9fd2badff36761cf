"""What a request asks for, checked against what the bundle has, and the defaults for what it leaves out."""

from collections.abc import Sequence

from medxgan.bundle.graphs import output_names
from medxgan.server.errors import InvalidRequestError, SettingsError, shown
from medxgan.server.explanation.settings import DEFAULT_PATH_STEPS, ExplanationSettings
from medxgan.server.explanation.table import MAPS, served_maps
from medxgan.server.inversion.settings import InversionSettings, resolve_inversion_settings
from medxgan.v1 import bundle_pb2, explanation_pb2
from medxgan.v1.explanation_pb2 import (
    MAP_NEED_INVERSION,
    MAP_NEED_POSITIVE_SEARCH,
    MAP_NEED_RESTARTS,
    MapKind,
)

MAXIMUM_PATH_STEPS = 1000
"""Most points of a path."""

MAXIMUM_MAPS = 64
"""Most maps of one request."""

MAXIMUM_TRAJECTORY_FRAMES = 64
"""Most pictures of one trajectory."""

MAXIMUM_WINDOWS = 16_384
"""Most windows of one occlusion map, each a pass of the classifier."""

DARKEST = -1.0
"""The level of x that a baseline and an occluding window have by default."""


def resolve_settings(request: explanation_pb2.ExplainRequest, bundle: bundle_pb2.Bundle) -> ExplanationSettings:
    """Take what the caller set, and the defaults for the rest.

    Args:
        request: whose fields obey the rules of explanation.proto; its image is not looked at.
        bundle: description of the bundle that answers.

    Raises:
        InvalidRequestError: naming the map that the bundle can't make, or the class that it does not know or that a map
            does not explain.
        SettingsError: naming the setting that does not suit the bundle.
    """
    settings = request.settings
    wanted = [each.kind for each in request.maps] or default_maps(bundle)
    frames = request.trajectory.frames if request.HasField("trajectory") else 0
    target = settings.target_class or bundle.classification.positive_class
    names = output_names(bundle.classification)
    if target not in names:
        raise SettingsError("settings.target_class", f"expected one of {', '.join(names)}, got {shown(target)}")
    _check_maps(wanted, target, bundle)
    inverts = frames > 0 or any(MAP_NEED_INVERSION in MAPS[kind].needs for kind in wanted)
    if frames and not bundle.HasField("latent"):
        raise InvalidRequestError("trajectory", f"{bundle.name}/{bundle.version} has no generator to invert")
    inversion = resolve_inversion_settings(settings.inversion, bundle) if inverts else None
    _check_restarts(wanted, inversion)
    path = settings.integrated_gradients
    window, stride = _windows(settings.occlusion, bundle.image.height)
    return ExplanationSettings(
        maps=tuple(dict.fromkeys(wanted)),
        target=target,
        seed=settings.seed,
        inversion=inversion,
        path_steps=path.steps if path.HasField("steps") else DEFAULT_PATH_STEPS,
        baseline=path.baseline if path.HasField("baseline") else DARKEST,
        window=window,
        stride=stride,
        level=settings.occlusion.level if settings.occlusion.HasField("level") else DARKEST,
        frames=frames,
        positive_end=frames > 0 or any(MAP_NEED_POSITIVE_SEARCH in MAPS[kind].needs for kind in wanted),
    )


def default_maps(bundle: bundle_pb2.Bundle) -> list[MapKind]:
    """The maps of a request that names none.

    The pictures of the inversion, or without a generator what one pass over the image gives.
    """
    return [kind for kind in served_maps(bundle) if MAPS[kind].is_default(bundle.HasField("latent"))]


def _check_maps(wanted: Sequence[MapKind], target: str, bundle: bundle_pb2.Bundle) -> None:
    served = served_maps(bundle)
    for index, kind in enumerate(wanted):
        if kind not in served:
            raise InvalidRequestError(
                f"maps[{index}].kind",
                f"{MapKind.Name(kind)} needs a generator, which {bundle.name}/{bundle.version} does not have",
            )
        if MAP_NEED_INVERSION in MAPS[kind].needs and target != bundle.classification.positive_class:
            raise SettingsError(
                "settings.target_class",
                f"expected {bundle.classification.positive_class}, the class that {MapKind.Name(kind)} explains, "
                f"got {shown(target)}",
            )


def _check_restarts(wanted: Sequence[MapKind], inversion: InversionSettings | None) -> None:
    for kind in wanted:
        if MAP_NEED_RESTARTS in MAPS[kind].needs and (inversion is None or inversion.restarts < 2):
            raise SettingsError("settings.inversion.restarts", f"expected 2 or more for {MapKind.Name(kind)}")


def _windows(requested: explanation_pb2.OcclusionSettings, side: int) -> tuple[int, int]:
    """Side of the occluding window, and pixels between two."""
    window = requested.window if requested.HasField("window") else side // 8
    _check("settings.occlusion.window", window, 1, side)
    stride = requested.stride if requested.HasField("stride") else max(1, window // 2)
    _check("settings.occlusion.stride", stride, 1, window)
    windows = (-(-(side - window) // stride) + 1) ** 2  # the last one is cut off at the border
    if windows > MAXIMUM_WINDOWS:
        raise SettingsError("settings.occlusion.stride", f"expected at most {MAXIMUM_WINDOWS} windows, got {windows}")
    return window, stride


def _check(field: str, value: int, least: int, greatest: int) -> None:
    if not least <= value <= greatest:
        raise SettingsError(field, f"expected {least} to {greatest}, got {value}")
