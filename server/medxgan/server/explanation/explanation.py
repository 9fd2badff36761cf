"""The explanation of one image: the one result object. Not being reliable is a value of it, not an error."""

from dataclasses import dataclass

from medxgan.server.engine.port import FloatArray
from medxgan.server.inversion import InversionOutcome, InversionSettings
from medxgan.v1 import explanation_pb2


@dataclass(frozen=True)
class Scores:
    """Probabilities (0 to 1) of the positive class: the fields of `Scores` in explanation.proto.

    The score of the positive realization is with the `PositiveRealization`.
    """

    original: float
    reconstruction: float
    negative_realization: float
    applied_negative: float
    decision_threshold: float

    @property
    def positive(self) -> bool:
        """Whether the classifier calls the image positive."""
        return self.original >= self.decision_threshold


@dataclass(frozen=True)
class Timing:
    """Where the time went, in milliseconds: the fields of `Timing` in explanation.proto. The parts add up to the total.

    `ServedModel.explain` measures from its call to its return: what is decoded before and encoded after is the
    transport's to add.
    """

    queued_ms: float
    preprocess_ms: float
    inversion_ms: float
    positive_realization_ms: float
    maps_ms: float
    total_ms: float


@dataclass(frozen=True)
class Explained:
    """A finished inversion of one image, scored and judged.

    Attributes:
        original: [S, S] in [-1, 1], x: the image as the networks see it.
        z: [1, D], the latent code that was found: z1, then z2.
        negative_z: [1, D], the same with z2 = 0.
        reconstruction: [S, S] in [-1, 1], G(z1, z2).
        negative_realization: [S, S] in [-1, 1], G(z1, 0): the same patient without the pathology.
        applied_negative: [S, S] in [-1, 1], x less what the pathology adds.
        uncertainty: [S, S] in [0, 2], the standard deviation of the difference map over restarts; None for one start.
        scores: the classifier's scores of all these pictures, and its threshold.
        verdict: whether they can be relied on, and why not.
        outcome: how the inversion ended.
        prepare_seconds: that the first score and the first guess took.
        steps_began: `time.perf_counter()` before the first gradient step of any restart.
        steps_ended: the same after the last.
        seconds: from the first score to the verdict, with the time that it waited for its turns.
    """

    original: FloatArray
    z: FloatArray
    negative_z: FloatArray
    reconstruction: FloatArray
    negative_realization: FloatArray
    applied_negative: FloatArray
    uncertainty: FloatArray | None
    scores: Scores
    verdict: explanation_pb2.Verdict
    outcome: InversionOutcome
    prepare_seconds: float
    steps_began: float
    steps_ended: float
    seconds: float


@dataclass(frozen=True)
class PositiveRealization:
    """The positive end of the same patient. Not having found one is a value, not an error.

    Attributes:
        z: [1, D], its latent code: the z1 of the inversion, and a z2.
        picture: [S, S] in [-1, 1], G(z1, z2).
        score: C of the picture.
        found: whether the classifier calls it positive; else it is the attempt with the highest score.
        steps_taken: gradient steps of the search.
        scale: share of the search's z2 that was kept, in [0, 1].
        change_mse: mean squared difference to the negative realization.
        seconds: of the search, with the time that it waited for its turns.
    """

    z: FloatArray
    picture: FloatArray
    score: float
    found: bool
    steps_taken: int
    scale: float
    change_mse: float
    seconds: float


@dataclass(frozen=True)
class TrajectoryFrame:
    """One picture on the way from negative to positive.

    Attributes:
        position: share of the positive realization's z2, in [0, 1].
        score: C of the picture.
        picture: [S, S] in [-1, 1].
    """

    position: float
    score: float
    picture: FloatArray


@dataclass(frozen=True)
class Extent:
    """What an explanation holds beyond the inversion.

    Attributes:
        positive_realization: whether to find the positive realization.
        frames: pictures of the trajectory, 2 to 64, which needs the positive realization too; 0: none.
    """

    positive_realization: bool = False
    frames: int = 0

    @property
    def positive_end(self) -> bool:
        """Whether any of it needs the positive realization."""
        return self.positive_realization or self.frames > 0


@dataclass(frozen=True)
class Explanation:
    """Why the classifier says what it says of one image.

    Attributes:
        explained: the inversion.
        positive_realization: None where it was not wanted.
        trajectory: from negative to positive; empty where it was not wanted.
        timing: where the time went.
        settings: the inversion's settings in force.
        seed: of whatever is random.
        notes: what was done to the image on the way in, a sentence each.
    """

    explained: Explained
    positive_realization: PositiveRealization | None
    trajectory: tuple[TrajectoryFrame, ...]
    timing: Timing
    settings: InversionSettings
    seed: int
    notes: tuple[str, ...]
