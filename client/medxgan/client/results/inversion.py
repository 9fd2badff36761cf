"""How an image was inverted, and how far an inversion is."""

from dataclasses import dataclass

from medxgan.client.vocabulary import ProgressPhase, Unrecognised


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


@dataclass(frozen=True)
class PositiveRealizationOutcome:
    """How the positive realization was found.

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


@dataclass(frozen=True)
class Progress:
    """Progress of one phase: gradient steps taken of at most `steps_total`, and the loss terms at the last one.

    With restarts the steps are those of the slowest, 0 while one waits for its turn, and the loss terms those of the
    best. In the search for a positive realization the squared error is that to the negative one.
    """

    phase: ProgressPhase | Unrecognised
    steps_taken: int
    steps_total: int
    reconstruction_mse: float
    classification_loss: float
