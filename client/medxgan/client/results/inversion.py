"""How an image was inverted, and how far an inversion is."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class InversionSettings:
    """The inversion's settings in force.

    Attributes:
        steps: gradient steps, at most.
        learning_rate: Adam's.
        reconstruction_weight: λ, the weight of the mean squared error.
        restarts: inversions from different starts, the best of which is the answer.
    """

    steps: int
    learning_rate: float
    reconstruction_weight: float
    restarts: int


@dataclass(frozen=True)
class InversionOutcome:
    """How the inversion ended.

    Attributes:
        steps_taken: gradient steps taken.
        converged: whether the loss had settled before the steps ran out.
        reconstruction_mse: mean squared error between reconstruction and image, in [-1, 1] units.
        classification_loss: binary cross-entropy of the reconstruction's score against the image's, in nats.
        restart: the restart that is the answer, from 0: the one with the lowest loss. All else here but the spread is
            its own.
        difference_spread: mean of the uncertainty map, in units of the difference; None without restarts.
    """

    steps_taken: int
    converged: bool
    reconstruction_mse: float
    classification_loss: float
    restart: int
    difference_spread: float | None


class ProgressPhase(StrEnum):
    """What gradient steps are for: the inversion of the image, or the search for a positive realization after it."""

    INVERSION = "inversion"
    POSITIVE_REALIZATION = "positive_realization"


@dataclass(frozen=True)
class Progress:
    """Progress of one phase: gradient steps taken of at most `steps_total`, and the loss terms at the last one.

    With restarts the steps are those of the slowest, 0 while one waits for its turn, and the loss terms those of the
    best. In the search for a positive realization the squared error is that to the negative one.
    """

    phase: ProgressPhase
    steps_taken: int
    steps_total: int
    reconstruction_mse: float
    classification_loss: float
