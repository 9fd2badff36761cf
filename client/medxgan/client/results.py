"""What a client gets back: plain frozen values, images as read-only NumPy arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from medxgan.v1 import bundle_pb2

FloatArray = NDArray[np.float32]


class MapKind(StrEnum):
    """The maps of an explanation; S is the side of the image as the networks see it.

    ORIGINAL, RECONSTRUCTION and NEGATIVE_REALIZATION are [S, S] in [-1, 1]. DIFFERENCE is [S, S] in [-2, 2], positive
    where pathology adds intensity. COLORIZED is [S, S, 3] in [0, 1]: red adds, blue takes away.
    """

    ORIGINAL = "original"
    RECONSTRUCTION = "reconstruction"
    NEGATIVE_REALIZATION = "negative_realization"
    DIFFERENCE = "difference"
    COLORIZED = "colorized"


class VerdictStatus(StrEnum):
    """Whether an explanation can be relied on; NOT_APPLICABLE where the classifier calls the image negative."""

    RELIABLE = "reliable"
    NOT_RELIABLE = "not_reliable"
    NOT_APPLICABLE = "not_applicable"


class VerdictReasonCode(StrEnum):
    """The checks behind a verdict."""

    RECONSTRUCTION_TOO_FAR = "reconstruction_too_far"
    CLASSIFIER_DISAGREES = "classifier_disagrees"
    NEGATIVE_IS_POSITIVE = "negative_is_positive"
    IMAGE_IS_NEGATIVE = "image_is_negative"


class AttributionMethod(StrEnum):
    """Methods that show what a score depends on; units are those of `Attribution.values`.

    GRADIENT, GUIDED_BACKPROPAGATION, GRAD_CAM and GUIDED_GRAD_CAM take one pass over the image, INTEGRATED_GRADIENTS
    and OCCLUSION many. LATENT_INTEGRATED_GRADIENTS, DIFFERENCE_MAP and RESIDUAL_MAP invert the generator first.
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

    @property
    def needs_generator(self) -> bool:
        """Whether only a bundle with a generator can serve it; it then explains the positive class."""
        return self in _GENERATOR_METHODS


_GENERATOR_METHODS = frozenset(
    {
        AttributionMethod.LATENT_INTEGRATED_GRADIENTS,
        AttributionMethod.DIFFERENCE_MAP,
        AttributionMethod.RESIDUAL_MAP,
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
class ModelIdentity:
    """The model that answered. `bundle_sha256` is lower-case hexadecimal."""

    name: str
    version: str
    bundle_sha256: str


@dataclass(frozen=True)
class Execution:
    """How a model is run.

    Attributes:
        engine: "onnxruntime" or "torch".
        provider: execution provider that really runs the gradient steps: "CPUExecutionProvider".
        requested: what the operator asked for: "auto", "cpu", "cuda", "tensorrt" or "torch".
        fallback: whether what runs is less than what was asked for.
        fallback_reason: why it fell back; empty when it did not.
    """

    engine: str
    provider: str
    requested: str
    fallback: bool
    fallback_reason: str


@dataclass(frozen=True)
class InversionSettings:
    """The inversion's settings in force: gradient steps, Adam's learning rate, and λ, the weight of the MSE."""

    steps: int
    learning_rate: float
    reconstruction_weight: float


@dataclass(frozen=True)
class Scores:
    """Probabilities (0 to 1) of the positive class, and the one from which an image counts as positive."""

    original: float
    reconstruction: float
    negative_realization: float
    decision_threshold: float


@dataclass(frozen=True)
class VerdictReason:
    """One failed check: what was measured against which threshold, and a sentence for a person."""

    code: VerdictReasonCode
    measured: float
    threshold: float
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """Whether an explanation can be relied on; `reasons` is empty when it can."""

    status: VerdictStatus
    reasons: tuple[VerdictReason, ...]


@dataclass(frozen=True)
class InversionOutcome:
    """How the inversion ended.

    Attributes:
        steps_taken: gradient steps taken.
        converged: whether the loss had settled before the steps ran out.
        reconstruction_mse: mean squared error between reconstruction and image, in [-1, 1] units.
        classification_loss: binary cross-entropy of the reconstruction's score against the image's, in nats.
    """

    steps_taken: int
    converged: bool
    reconstruction_mse: float
    classification_loss: float


@dataclass(frozen=True)
class Timing:
    """Where the time went, in milliseconds, as the server saw it."""

    queued_ms: float
    preprocess_ms: float
    inversion_ms: float
    maps_ms: float
    total_ms: float


@dataclass(frozen=True)
class Progress:
    """Progress of an inversion: gradient steps taken of at most `steps_total`, and the loss terms at the last one."""

    steps_taken: int
    steps_total: int
    reconstruction_mse: float
    classification_loss: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a classifier scores one image as it does: the same image without the pathology.

    Attributes:
        maps: the maps asked for, float32; their shapes and ranges are stated by `MapKind`.
        notes: what was done to the image on the way in, a sentence each.
    """

    model: ModelIdentity
    execution: Execution
    settings: InversionSettings
    seed: int
    scores: Scores
    verdict: Verdict
    outcome: InversionOutcome
    timing: Timing
    notes: tuple[str, ...]
    maps: Mapping[MapKind, FloatArray]

    @property
    def original(self) -> FloatArray:
        """[S, S] in [-1, 1]: x, the image as the networks see it."""
        return self._map(MapKind.ORIGINAL)

    @property
    def reconstruction(self) -> FloatArray:
        """[S, S] in [-1, 1]: G(z1, z2)."""
        return self._map(MapKind.RECONSTRUCTION)

    @property
    def negative_realization(self) -> FloatArray:
        """[S, S] in [-1, 1]: G(z1, 0)."""
        return self._map(MapKind.NEGATIVE_REALIZATION)

    @property
    def difference(self) -> FloatArray:
        """[S, S] in [-2, 2]: reconstruction minus negative realization."""
        return self._map(MapKind.DIFFERENCE)

    @property
    def colorized(self) -> FloatArray:
        """[S, S, 3] in [0, 1]: the difference in colour over the original."""
        return self._map(MapKind.COLORIZED)

    def _map(self, kind: MapKind) -> FloatArray:
        if kind not in self.maps:
            raise LookupError(f"the map {kind.value!r} was not asked for")
        return self.maps[kind]


@dataclass(frozen=True)
class Classification:
    """The score of one image.

    Attributes:
        probability: probability (0 to 1) of the positive class.
        decision_threshold: probability from which an image counts as positive.
        predicted_class: the class decided for, by name.
        notes: what was done to the image on the way in, a sentence each.
    """

    model: ModelIdentity
    execution: Execution
    probability: float
    decision_threshold: float
    predicted_class: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class IntegratedGradientsSettings:
    """Settings of the methods that integrate gradients. In a request None is the default; in a result all are set.

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
            Difference map: unit of x. Residual map: unit of x, squared, with the sign of the difference.
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


@dataclass(frozen=True)
class ModelSummary:
    """One model in a list: what its images show, what positive and negative mean, the licence of its weights."""

    model: ModelIdentity
    modality: str
    positive_class: str
    negative_class: str
    license: str
    execution: Execution


@dataclass(frozen=True)
class ModelDescription:
    """One model: the description that its bundle carries, whole, as the protobuf message, and how it is run."""

    model: ModelIdentity
    bundle: bundle_pb2.Bundle
    execution: Execution

    @property
    def has_generator(self) -> bool:
        """Whether the bundle can explain by inversion, not only attribute."""
        return any(graph.role == bundle_pb2.GRAPH_ROLE_GENERATOR for graph in self.bundle.graphs)

    @property
    def methods(self) -> tuple[AttributionMethod, ...]:
        """The methods of attribution that the bundle can serve."""
        return tuple(method for method in AttributionMethod if self.has_generator or not method.needs_generator)
