"""What the classifier says of a picture: the probability, and the decision, which is made here and nowhere else."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """What the classifier says of one picture.

    Attributes:
        probability: of the positive class, 0 to 1.
        positive: whether the picture counts as positive.
    """

    probability: float
    positive: bool

    @classmethod
    def of(cls, logit: float, threshold: float) -> "Score":
        """The score of a logit of the positive class.

        Args:
            logit: the classifier's.
            threshold: probability from which a picture counts as positive. A NaN counts as negative.
        """
        probability = logistic(logit)
        return cls(probability, probability >= threshold)


def logistic(logit: float) -> float:
    """The logistic function: a logit to a probability in [0, 1], without overflow."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1 + odds)


def binary_cross_entropy(logit: float, target: float) -> float:
    """The cross-entropy in nats of a logit against a target probability; the inversion's class term."""
    return max(logit, 0.0) - logit * target + math.log1p(math.exp(-abs(logit)))
