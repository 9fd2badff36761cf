"""From the classifier's logit to a probability and a loss, without overflow."""

import math


def probability(logit: float) -> float:
    """The logistic function: a logit to a probability in [0, 1]."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1 + odds)


def binary_cross_entropy(logit: float, target: float) -> float:
    """The cross-entropy in nats of a logit against a target probability; the inversion's class term."""
    return max(logit, 0.0) - logit * target + math.log1p(math.exp(-abs(logit)))
