"""The explanation of one image: the one result object. Not being reliable is a value of it, not an error."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medxgan.server.engine.port import FloatArray
from medxgan.server.explanation.scores import Score
from medxgan.server.explanation.settings import ExplanationSettings
from medxgan.server.images.film import Placement
from medxgan.v1 import explanation_pb2
from medxgan.v1.explanation_pb2 import MapKind


@dataclass(frozen=True)
class ImageCheck:
    """One measure of how unlike an image is to those of the training; higher is less alike.

    Attributes:
        name: as the bundle has it.
        measured: of this image. NaN passes no check.
        maximum: of a familiar image.
    """

    name: str
    measured: float
    maximum: float

    @property
    def passed(self) -> bool:
        """Whether the image passes."""
        return self.measured <= self.maximum


@dataclass(frozen=True)
class OpenedImage:
    """An image as the networks see it, and what they say of it at once.

    Attributes:
        x: [1, 1, S, S] in [-1, 1].
        placement: where x lies on the film.
        score: C(x).
        checks: whether the image is like those of the training, measure by measure; empty where the bundle can't tell.
        z: [1, D], the encoder's guess of the latent code; None without an encoder.
        notes: what was done to the image on the way in, a sentence each.
    """

    x: FloatArray
    placement: Placement
    score: Score
    checks: tuple[ImageCheck, ...]
    z: FloatArray | None
    notes: tuple[str, ...]

    @property
    def familiar(self) -> bool:
        """Whether the image passed every check."""
        return all(check.passed for check in self.checks)


@dataclass(frozen=True)
class Inverted:
    """A finished inversion: the best of its restarts, drawn and scored.

    Attributes:
        z: [1, D], the latent code that was found: z1, then z2.
        negative_z: [1, D], the same with z2 = 0.
        reconstruction: [S, S] in [-1, 1], G(z1, z2).
        negative_realization: [S, S] in [-1, 1], G(z1, 0): the same patient without the pathology.
        applied_negative: [S, S] in [-1, 1], x less what the pathology adds.
        uncertainty: [S, S] in [0, 2], the standard deviation of the difference map over restarts; None for one start.
        reconstruction_score: C of the reconstruction.
        negative_realization_score: C of the negative realization.
        applied_negative_score: C of the applied negative.
        steps_taken: gradient steps.
        converged: whether the loss had settled before the steps ran out.
        reconstruction_mse: mean squared error between reconstruction and image, in [-1, 1] units.
        classification_loss: cross-entropy in nats of the reconstruction's score against the image's.
        restart: which restart this is, from 0.
    """

    z: FloatArray
    negative_z: FloatArray
    reconstruction: FloatArray
    negative_realization: FloatArray
    applied_negative: FloatArray
    uncertainty: FloatArray | None
    reconstruction_score: Score
    negative_realization_score: Score
    applied_negative_score: Score
    steps_taken: int
    converged: bool
    reconstruction_mse: float
    classification_loss: float
    restart: int

    @property
    def difference(self) -> FloatArray:
        """[S, S] in [-2, 2]: what the pathology adds; positive where it adds intensity."""
        return self.reconstruction - self.negative_realization

    @property
    def difference_peak(self) -> float:
        """Greatest magnitude of the difference, in [0, 2]."""
        return float(np.abs(self.difference).max())

    @property
    def difference_spread(self) -> float | None:
        """Mean of the uncertainty map: how much the difference depends on the start; None for one start."""
        return None if self.uncertainty is None else float(self.uncertainty.mean())


@dataclass(frozen=True)
class PositiveRealization:
    """The positive end of the same patient. Not having found one is a value, not an error.

    Attributes:
        z: [1, D], its latent code: the z1 of the inversion, and a z2.
        picture: [S, S] in [-1, 1], G(z1, z2).
        score: C of the picture; where it is negative, none was found, and this is where the search ended.
        steps_taken: gradient steps of the search.
        scale: share of the search's z2 that was kept, in [0, 1].
        change_mse: mean squared difference to the negative realization.
    """

    z: FloatArray
    picture: FloatArray
    score: Score
    steps_taken: int
    scale: float
    change_mse: float


@dataclass(frozen=True)
class TrajectoryFrame:
    """One picture on the way from negative to positive.

    Attributes:
        position: share of the positive realization's z2, in [0, 1].
        score: C of the picture.
        picture: [S, S] in [-1, 1].
    """

    position: float
    score: Score
    picture: FloatArray


@dataclass(frozen=True)
class Completeness:
    """Whether an integral of gradients adds up, in units of the logit.

    The axiom of completeness (Sundararajan et al. 2017) asks that it does.

    Attributes:
        attributed: sum of the map's values.
        change: of the logit from the path's begin to its end.
    """

    attributed: float
    change: float

    @property
    def error(self) -> float:
        """|attributed - change|: 0 for an exact integral along a straight path."""
        return abs(self.attributed - self.change)


@dataclass(frozen=True)
class MapValues:
    """One map.

    Attributes:
        values: [S, S] float32, or [S, S, 3] for a map in colour, in the unit that the table states.
        completeness: of an integral of gradients; None for other maps.
        seconds: that the map took, with the time that it waited for its turns. The pass over x that it shares with
            other maps counts for each of them; the inversion that it shares with others does not.
    """

    values: FloatArray
    completeness: Completeness | None
    seconds: float


@dataclass(frozen=True)
class Explanation:
    """Why the classifier says what it says of one image.

    Attributes:
        opened: the image.
        settings: in force.
        inverted: the inversion; None where nothing that was wanted needs it.
        positive_realization: None where it was not wanted.
        trajectory: from negative to positive; empty where it was not wanted.
        maps: every map that was wanted.
        target_logit: of the class that maps explain which can explain any; None where there is no such map.
        verdict: whether all this can be relied on, and why not.
    """

    opened: OpenedImage
    settings: ExplanationSettings
    inverted: Inverted | None
    positive_realization: PositiveRealization | None
    trajectory: tuple[TrajectoryFrame, ...]
    maps: Mapping[MapKind, MapValues]
    target_logit: float | None
    verdict: explanation_pb2.Verdict
