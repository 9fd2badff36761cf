"""The explanation of one image: the one result object. Not being reliable is a value of it, not an error."""

from dataclasses import dataclass

from medxgan.server.engine.port import FloatArray
from medxgan.server.inversion import InversionOutcome, InversionSettings
from medxgan.v1 import explanation_pb2


@dataclass(frozen=True)
class Scores:
    """Probabilities (0 to 1) of the positive class: the fields of `Scores` in explanation.proto."""

    original: float
    reconstruction: float
    negative_realization: float
    decision_threshold: float


@dataclass(frozen=True)
class Timing:
    """Where the time went, in milliseconds: the fields of `Timing` in explanation.proto. The parts add up to the total.

    `ServedModel.explain` measures from its call to its return: what is decoded before and encoded after is the
    transport's to add.
    """

    queued_ms: float
    preprocess_ms: float
    inversion_ms: float
    maps_ms: float
    total_ms: float


@dataclass(frozen=True)
class Explanation:
    """Why the classifier says what it says of one image.

    Attributes:
        original: [S, S] in [-1, 1], x: the image as the networks see it.
        reconstruction: [S, S] in [-1, 1], G(z1, z2).
        negative_realization: [S, S] in [-1, 1], G(z1, 0): the same patient without the pathology.
        scores: the classifier's scores of the three, and its threshold.
        verdict: whether the explanation can be relied on, and why not.
        outcome: how the inversion ended.
        timing: where the time went.
        settings: the inversion's settings in force.
        seed: of the random start.
        notes: what was done to the image on the way in, a sentence each.
    """

    original: FloatArray
    reconstruction: FloatArray
    negative_realization: FloatArray
    scores: Scores
    verdict: explanation_pb2.Verdict
    outcome: InversionOutcome
    timing: Timing
    settings: InversionSettings
    seed: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Explained:
    """A finished inversion of one image, scored and judged.

    Attributes:
        z: [1, D], the latent code that was found: z1, then z2.
        negative_z: [1, D], the same with z2 = 0.
        reconstruction: [S, S] in [-1, 1], G(z1, z2).
        negative_realization: [S, S] in [-1, 1], G(z1, 0): the same patient without the pathology.
        scores: the classifier's scores of the image and the two, and its threshold.
        verdict: whether they can be relied on, and why not.
        outcome: how the inversion ended.
        seconds: from the first guess to the verdict, with the time that it waited for its turns.
    """

    z: FloatArray
    negative_z: FloatArray
    reconstruction: FloatArray
    negative_realization: FloatArray
    scores: Scores
    verdict: explanation_pb2.Verdict
    outcome: InversionOutcome
    seconds: float
