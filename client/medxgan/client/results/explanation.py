"""An explanation of one image: the same patient without the pathology."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from medxgan.client.results.execution import Execution, ModelIdentity
from medxgan.client.results.inversion import InversionOutcome, InversionSettings
from medxgan.client.results.verdict import Verdict

FloatArray = NDArray[np.float32]


class MapKind(StrEnum):
    """The maps of an explanation; S is the side of the image as the networks see it.

    ORIGINAL, RECONSTRUCTION and NEGATIVE_REALIZATION are [S, S] in [-1, 1]. DIFFERENCE is [S, S] in [-2, 2], positive
    where pathology adds intensity. COLORIZED is [S, S, 3] in [0, 1]: red adds, blue takes away. These five are what a
    request gets that names none.

    APPLIED_NEGATIVE is [S, S] in [-1, 1]: the original minus the difference, clipped. RESIDUAL is [S, S] in [-4, 4]:
    original minus negative realization where it has the sign of the difference, times the difference, both smoothed.
    UNCERTAINTY is [S, S] in [0, 2]: standard deviation of the difference over the restarts; it needs 2 or more.
    POSITIVE_REALIZATION is [S, S] in [-1, 1]: for a positive image the reconstruction; for a negative one what a search
    of up to as many steps again finds, see `PositiveRealizationOutcome`.
    """

    ORIGINAL = "original"
    RECONSTRUCTION = "reconstruction"
    NEGATIVE_REALIZATION = "negative_realization"
    DIFFERENCE = "difference"
    COLORIZED = "colorized"
    APPLIED_NEGATIVE = "applied_negative"
    RESIDUAL = "residual"
    UNCERTAINTY = "uncertainty"
    POSITIVE_REALIZATION = "positive_realization"


@dataclass(frozen=True)
class Scores:
    """Probabilities (0 to 1) of the positive class.

    Attributes:
        original: of the image.
        reconstruction: of G(z1, z2).
        negative_realization: of G(z1, 0).
        applied_negative: of the image minus the difference.
        positive_realization: of the positive realization; None where neither its map nor a trajectory was asked for.
        decision_threshold: the one from which an image counts as positive.
    """

    original: float
    reconstruction: float
    negative_realization: float
    applied_negative: float
    positive_realization: float | None
    decision_threshold: float

    def is_positive(self, probability: float) -> bool:
        """Whether a picture of that probability counts as positive."""
        return probability >= self.decision_threshold

    @property
    def image_is_positive(self) -> bool:
        """Whether the image itself counts as positive."""
        return self.is_positive(self.original)


@dataclass(frozen=True)
class PositiveRealizationOutcome:
    """How the positive realization was come by.

    Attributes:
        found: whether the classifier calls it positive. False: the search ran out of steps, or the image is positive
            and its reconstruction is not; the map and the trajectory then end short of positive.
        steps_taken: gradient steps of the search; 0 where none was needed.
        scale: the least share (0 to 1) of the z2 that the steps found with which the classifier still says "positive";
            1 where there was no search, 0 where the negative realization is positive already.
        change_mse: mean squared difference between positive and negative realization, in [-1, 1] units.
    """

    found: bool
    steps_taken: int
    scale: float
    change_mse: float


@dataclass(frozen=True, eq=False)
class TrajectoryFrame:
    """One picture on the way from the negative realization to the positive one: G(z1, a * z2).

    Attributes:
        position: a: 0 is the negative realization, 1 the positive one.
        score: probability (0 to 1) of the positive class.
        picture: [S, S] in [-1, 1].
    """

    position: float
    score: float
    picture: FloatArray


@dataclass(frozen=True)
class Timing:
    """Where the time went, in milliseconds, as the server saw it.

    `positive_realization_ms` is the search for a positive realization, 0 where there was none.
    """

    queued_ms: float
    preprocess_ms: float
    inversion_ms: float
    positive_realization_ms: float
    maps_ms: float
    total_ms: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a classifier scores one image as it does: the same image without the pathology.

    Attributes:
        positive_outcome: how the positive realization was come by; None where neither its map nor a trajectory was
            asked for.
        maps: the maps asked for, float32; their shapes and ranges are stated by `MapKind`.
        trajectory: the pictures asked for, from the negative realization to the positive one; empty where none were.
        notes: what was done to the image on the way in, a sentence each.
    """

    model: ModelIdentity
    execution: Execution
    settings: InversionSettings
    seed: int
    scores: Scores
    verdict: Verdict
    outcome: InversionOutcome
    positive_outcome: PositiveRealizationOutcome | None
    timing: Timing
    notes: tuple[str, ...]
    maps: Mapping[MapKind, FloatArray]
    trajectory: tuple[TrajectoryFrame, ...]

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

    @property
    def applied_negative(self) -> FloatArray:
        """[S, S] in [-1, 1]: the original minus the difference, clipped."""
        return self._map(MapKind.APPLIED_NEGATIVE)

    @property
    def residual(self) -> FloatArray:
        """[S, S] in [-4, 4]: original minus negative realization, where it agrees with the difference, times that."""
        return self._map(MapKind.RESIDUAL)

    @property
    def uncertainty(self) -> FloatArray:
        """[S, S] in [0, 2]: standard deviation of the difference over the restarts."""
        return self._map(MapKind.UNCERTAINTY)

    @property
    def positive_realization(self) -> FloatArray:
        """[S, S] in [-1, 1]: the same patient as the classifier would call positive, or the nearest to it found."""
        return self._map(MapKind.POSITIVE_REALIZATION)

    def _map(self, kind: MapKind) -> FloatArray:
        if kind not in self.maps:
            raise LookupError(f"the map {kind.value!r} was not asked for")
        return self.maps[kind]
