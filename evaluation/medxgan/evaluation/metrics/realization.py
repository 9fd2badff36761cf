"""The step to the negative, on the reconstruction and on the image: does it turn the decision, how large is it."""

import numpy as np

from medxgan.evaluation.saliency import FloatArray

CHANGED = 0.1
"""A pixel counts as changed above this difference: 5 % of the range of x, [-1, 1]."""


def realization_figures(
    reconstruction: FloatArray,
    negative: FloatArray,
    reconstruction_score: float,
    negative_score: float,
    decision_threshold: float,
) -> dict[str, float]:
    """Whether C calls the negative realization negative, how far its score moves, and how much of the image moves.

    Turning the decision alone proves little, since a small change can fool a classifier; a change of much of the image
    explains little. Source of the first: Dravid et al., medXGAN, CVPR-W 2022, section 4.

    Args:
        reconstruction: [S, S] in [-1, 1], G(z1, z2).
        negative: [S, S] in [-1, 1], G(z1, 0).
        reconstruction_score: C of the first, a probability.
        negative_score: C of the second.
        decision_threshold: probability from which C calls an image positive.
    """
    difference = np.abs(reconstruction.astype(np.float64) - negative)
    return {
        "label_flips": float(negative_score < decision_threshold),
        "score_change": reconstruction_score - negative_score,
        "change_l1": float(difference.mean()),
        "changed_share": float((difference > CHANGED).mean()),
    }


def applied_figures(image_score: float, applied_score: float, decision_threshold: float) -> dict[str, float]:
    """Whether C calls the applied negative negative, and how far its score moves.

    The applied negative is the image itself less the difference map, so that a flip can't come from what the
    reconstruction leaves out.

    Args:
        image_score: C of the image, a probability.
        applied_score: C of the applied negative.
        decision_threshold: probability from which C calls an image positive.
    """
    return {
        "applied_label_flips": float(applied_score < decision_threshold),
        "applied_score_change": image_score - applied_score,
    }
