"""The settings of an explanation in force."""

from dataclasses import dataclass

from medxgan.server.inversion.settings import InversionSettings
from medxgan.v1.explanation_pb2 import MapKind

DEFAULT_PATH_STEPS = 50
"""Gauss-Legendre points of a path; Captum's default too."""


@dataclass(frozen=True)
class ExplanationSettings:
    """What was asked for, and the settings in force.

    Attributes:
        maps: the maps wanted, each once, in the order of the request.
        target: name of the class to explain.
        seed: of whatever is random, 0 to 2^64 - 1.
        inversion: None where nothing that is wanted needs it.
        path_steps: points of a path at which the gradient is taken, 1 to 1000.
        baseline: grey level at which the path of integrated gradients begins, in [-1, 1].
        window: side of the occluding window in pixels of x, 1 to S.
        stride: pixels between two windows, 1 to `window`.
        level: grey level that the window is filled with, in [-1, 1].
        frames: pictures of the trajectory, 2 to 64; 0: none.
        positive_end: whether the positive realization is wanted, as a map or as the trajectory's end.
    """

    maps: tuple[MapKind, ...]
    target: str
    seed: int
    inversion: InversionSettings | None
    path_steps: int
    baseline: float
    window: int
    stride: int
    level: float
    frames: int
    positive_end: bool
