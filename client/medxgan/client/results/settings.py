"""Settings of an explanation: in a request None is the default, in an answer the settings in force."""

from dataclasses import dataclass

from medxgan.client.vocabulary import Solver, Unrecognised


@dataclass(frozen=True)
class InversionSettings:
    """Settings of the inversion. The bundle states the defaults and the ranges of the first three.

    Attributes:
        steps: gradient steps, at most.
        learning_rate: how far the first step moves each latent.
        reconstruction_weight: λ, the weight of the mean squared error against the class term.
        restarts: inversions from different starts, 1 to 16, the best of which is the answer; 1 by default. The time
            that it takes is in proportion.
        solver: how the loss is brought down; the bundle's default if None.
    """

    steps: int | None = None
    learning_rate: float | None = None
    reconstruction_weight: float | None = None
    restarts: int | None = None
    solver: Solver | Unrecognised | None = None


@dataclass(frozen=True)
class IntegratedGradientsSettings:
    """Settings of the maps that integrate gradients, the evidence map among them.

    Attributes:
        steps: points of the path at which the gradient is taken, 1 to 1000; 50 by default.
        baseline: grey level of the uniform baseline, in [-1, 1]; -1, the darkest, by default. Without meaning for
            latent integrated gradients.
    """

    steps: int | None = None
    baseline: float | None = None


@dataclass(frozen=True)
class OcclusionSettings:
    """Settings of the occlusion map.

    Attributes:
        window: side of the square window in pixels of x, 1 to S; an eighth of S by default.
        stride: pixels between windows, 1 to `window`; half of it by default.
        level: grey level that the window is filled with, in [-1, 1]; -1, the darkest, by default.
    """

    window: int | None = None
    stride: int | None = None
    level: float | None = None


@dataclass(frozen=True)
class Settings:
    """Settings of an explanation.

    Attributes:
        target_class: class to explain, by its name in the bundle; empty for the positive class, the only one that maps
            which need the inversion explain.
        seed: seed of whatever is random; 0 by default. Same request, seed and bundle: same maps.
        inversion: settings of the inversion. In an answer None where nothing was inverted, as for the next two.
        integrated_gradients: settings of the maps that integrate gradients.
        occlusion: settings of the occlusion map.
    """

    target_class: str = ""
    seed: int | None = None
    inversion: InversionSettings | None = None
    integrated_gradients: IntegratedGradientsSettings | None = None
    occlusion: OcclusionSettings | None = None
