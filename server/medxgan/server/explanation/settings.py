"""The settings of a request for attributions, and what they are where the caller names none."""

from dataclasses import dataclass

from medxgan.server.errors import SettingsError
from medxgan.server.graphs import output_count
from medxgan.server.inversion import InversionSettings, resolve_settings
from medxgan.v1 import bundle_pb2, explanation_pb2

DEFAULT_PATH_STEPS = 50
"""Gauss-Legendre points of a path; Captum's default too."""

MAXIMUM_WINDOWS = 16_384
"""Most windows of one occlusion map, each a pass of the classifier."""

DARKEST = -1.0
"""The level of x that a baseline and an occluding window have by default."""


@dataclass(frozen=True)
class AttributionSettings:
    """Settings in force for one request.

    Attributes:
        target: output of the classifier to attribute, an index.
        path_steps: points of a path at which the gradient is taken, 1 to 1000.
        baseline: grey level at which the path of integrated gradients begins, in [-1, 1].
        window: side of the occluding window in pixels of x, 1 to S.
        stride: pixels between two windows, 1 to `window`.
        level: grey level that the window is filled with, in [-1, 1].
        inversion: of the methods that need the generator; None where the bundle has none.
        seed: of the inversion's random start, 0 to 2^64 - 1.
    """

    target: int
    path_steps: int
    baseline: float
    window: int
    stride: int
    level: float
    inversion: InversionSettings | None
    seed: int


def resolve_attribution_settings(
    request: explanation_pb2.AttributeRequest, bundle: bundle_pb2.Bundle
) -> AttributionSettings:
    """Take what the caller set, and the defaults for the rest.

    Args:
        request: as `validate` let it pass; its methods and its image are not looked at.
        bundle: description of the bundle that answers.

    Raises:
        SettingsError: naming the field that does not suit the bundle.
    """
    path, occlusion = request.integrated_gradients, request.occlusion
    side = bundle.image.size
    window = occlusion.window if occlusion.HasField("window") else side // 8
    _check("occlusion.window", window, 1, side)
    stride = occlusion.stride if occlusion.HasField("stride") else max(1, window // 2)
    _check("occlusion.stride", stride, 1, window)
    windows = ((side - window) // stride + 1) ** 2
    if windows > MAXIMUM_WINDOWS:
        raise SettingsError("occlusion.stride", f"expected at most {MAXIMUM_WINDOWS} windows, got {windows}")
    return AttributionSettings(
        target=_target(request, bundle.classification),
        path_steps=path.steps if path.HasField("steps") else DEFAULT_PATH_STEPS,
        baseline=path.baseline if path.HasField("baseline") else DARKEST,
        window=window,
        stride=stride,
        level=occlusion.level if occlusion.HasField("level") else DARKEST,
        inversion=resolve_settings(request.inversion, bundle) if bundle.HasField("latent") else None,
        seed=request.seed,
    )


def _target(request: explanation_pb2.AttributeRequest, classification: bundle_pb2.Classification) -> int:
    if not request.HasField("target"):
        return classification.positive_output
    _check("target", request.target, 0, output_count(classification) - 1)
    return request.target


def _check(field: str, value: int, least: int, greatest: int) -> None:
    if not least <= value <= greatest:
        raise SettingsError(field, f"expected {least} to {greatest}, got {value}")
