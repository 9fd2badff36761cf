"""What in one image the classifier's score depends on, and by which methods that can be asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from medxgan.client.results.execution import Execution, ModelIdentity
from medxgan.client.results.explanation import FloatArray
from medxgan.client.results.inversion import InversionSettings
from medxgan.client.results.verdict import Verdict


class AttributionMethod(StrEnum):
    """Methods that show what a score depends on; units are those of `Attribution.values`.

    GRADIENT, GUIDED_BACKPROPAGATION, GRAD_CAM and GUIDED_GRAD_CAM take one pass over the image, INTEGRATED_GRADIENTS
    and OCCLUSION many. LATENT_INTEGRATED_GRADIENTS, DIFFERENCE_MAP, RESIDUAL_MAP and EVIDENCE_MAP invert the generator
    first.
    """

    GRADIENT = "gradient"
    GUIDED_BACKPROPAGATION = "guided_backpropagation"
    GRAD_CAM = "grad_cam"
    INTEGRATED_GRADIENTS = "integrated_gradients"
    GUIDED_GRAD_CAM = "guided_grad_cam"
    OCCLUSION = "occlusion"
    LATENT_INTEGRATED_GRADIENTS = "latent_integrated_gradients"
    DIFFERENCE_MAP = "difference_map"
    RESIDUAL_MAP = "residual_map"
    EVIDENCE_MAP = "evidence_map"

    @property
    def needs_generator(self) -> bool:
        """Whether only a bundle with a generator can serve it; it then explains the positive class."""
        return self in _GENERATOR_METHODS


_GENERATOR_METHODS = frozenset(
    {
        AttributionMethod.LATENT_INTEGRATED_GRADIENTS,
        AttributionMethod.DIFFERENCE_MAP,
        AttributionMethod.RESIDUAL_MAP,
        AttributionMethod.EVIDENCE_MAP,
    }
)


QUICK_METHODS = (
    AttributionMethod.GRADIENT,
    AttributionMethod.GUIDED_BACKPROPAGATION,
    AttributionMethod.GRAD_CAM,
    AttributionMethod.GUIDED_GRAD_CAM,
)
"""What every bundle serves from one and the same pass over the image."""


@dataclass(frozen=True)
class IntegratedGradientsSettings:
    """Settings of the methods that integrate gradients, the evidence map among them.

    In a request None is the default; in a result all are set.

    Attributes:
        steps: points of the path at which the gradient is taken, 1 to 1000; 50 by default.
        baseline: grey level of the uniform baseline, in [-1, 1]; -1, the darkest, by default. Without meaning for
            latent integrated gradients.
    """

    steps: int | None = None
    baseline: float | None = None


@dataclass(frozen=True)
class OcclusionSettings:
    """Settings of the occlusion map. In a request None is the default; in a result all are set.

    Attributes:
        window: side of the square window in pixels of x, 1 to S; an eighth of S by default.
        stride: pixels between windows, 1 to `window`; half of it by default.
        level: grey level that the window is filled with, in [-1, 1]; -1, the darkest, by default.
    """

    window: int | None = None
    stride: int | None = None
    level: float | None = None


@dataclass(frozen=True)
class Completeness:
    """Whether an integral of gradients adds up, in units of the logit (Sundararajan et al. 2017).

    Attributes:
        attributed: sum of the attribution's values.
        change: change of the logit from the path's begin to its end.
        error: |attributed - change|. 0 for an exact integral along a straight path; the path of latent integrated
            gradients bends, so that its error is not 0 even with many steps.
    """

    attributed: float
    change: float
    error: float


@dataclass(frozen=True, eq=False)
class Attribution:
    """What in an image the classifier's score depends on.

    Attributes:
        logit: logit of the target.
        target: output of the classifier that was attributed.
        target_class: name of that output.
        notes: what was done to the image on the way in, a sentence each.
        image: [S, S] in [-1, 1]: x, the image as the networks see it.
        values: by method, [S, S] float32. Gradients: logit per unit of x. Integrated gradients and occlusion: logit.
            Grad-CAM: activation times logit per activation, not negative; guided Grad-CAM: the product of the two.
            Difference map: unit of x. Residual map: unit of x, squared, with the sign of the difference. Evidence map:
            that times logit, with the same sign.
        completeness: by method, for those that integrate gradients.
        elapsed_ms: by method, milliseconds, the inversion that methods share apart.
        integrated_gradients: the settings in force; None where no method used them, as for the next two.
        occlusion: the settings in force.
        inversion: the settings in force, for the methods that need the generator.
        seed: seed of the inversion's random start.
        verdict: whether the methods that need the generator can be relied on; None where none was asked for.
    """

    model: ModelIdentity
    execution: Execution
    logit: float
    target: int
    target_class: str
    notes: tuple[str, ...]
    image: FloatArray
    values: Mapping[AttributionMethod, FloatArray]
    completeness: Mapping[AttributionMethod, Completeness]
    elapsed_ms: Mapping[AttributionMethod, float]
    integrated_gradients: IntegratedGradientsSettings | None
    occlusion: OcclusionSettings | None
    inversion: InversionSettings | None
    seed: int
    verdict: Verdict | None
