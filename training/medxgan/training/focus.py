"""Where the classifier looks."""

import torch
import torch.nn.functional as F
from torch import Tensor

from medxgan.training.networks import ExplainedClassifier
from medxgan.training.networks.classifier import probability

PATH = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of the way from black to the image at which the gradient is taken."""

SMOOTHING = 5
"""Pixels along a side of the window that smooths an attribution."""

WIDTH = 2.5
"""Where the attribution reaches 1/2.5 of its peak, the focus is already 1: less would leave the generator only the
peak of a lesion to change, and most of the lesion under the terms that forbid change."""

ROWS = 16
"""Images whose gradient is taken at once: of a large classifier from elsewhere one takes a hundred megabytes."""


def classifier_focus(classifier: ExplainedClassifier, x: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """C's decision and, in what it calls positive, the smoothed |integrated gradients| of the logit from black.

    Args:
        classifier: frozen, in evaluation mode.
        x: [N, 1, S, S] in [-1, 1].
        threshold: probability from which an image is positive.

    Returns:
        Decision [N], 0 or 1, and focus [N, 1, S, S] in [0, 1], 0 in negatives.
    """
    decisions, maps = [], []
    for rows in torch.split(x, ROWS):
        with torch.no_grad():
            decision = (torch.sigmoid(classifier(rows)) >= threshold).float()
        attribution = torch.zeros_like(rows)
        for share in PATH:
            leaf = (share * (rows + 1) - 1).requires_grad_(True)
            (gradient,) = torch.autograd.grad(classifier(leaf).sum(), leaf)
            attribution += gradient * (rows + 1) / len(PATH)
        decisions.append(decision)
        maps.append(saturated(attribution) * decision[:, None, None, None])
    return torch.cat(decisions), torch.cat(maps)


def saturated(attribution: Tensor) -> Tensor:
    """The smoothed magnitude of attributions [N, 1, S, S], in [0, 1]: 1 from a part of each one's peak upwards."""
    salience = F.avg_pool2d(attribution.abs(), SMOOTHING, 1, SMOOTHING // 2)
    peak = salience.amax((1, 2, 3), keepdim=True).clamp_min(1e-8)
    return (WIDTH * salience / peak).clamp_max(1)


def masked_focus(
    classifier: ExplainedClassifier, x: Tensor, masks: Tensor, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The masks of what C calls positive, and `classifier_focus` in those positives that have none.

    Args:
        classifier: frozen, in evaluation mode.
        x: [N, 1, S, S] in [-1, 1].
        masks: [N, 1, S, S] in [0, 1], 0 where none is known.
        threshold: probability from which an image is positive.

    Returns:
        Decision [N], focus [N, 1, S, S], and [N] 1 where the focus is a mask.
    """
    decision = (probability(classifier, x) >= threshold).float()
    placed = (masks.amax((1, 2, 3)) > 0).float() * decision
    focus = masks * placed[:, None, None, None]
    rest = (decision > placed).nonzero()[:, 0]
    if len(rest):
        focus[rest] = classifier_focus(classifier, x[rest], threshold)[1]
    return decision, focus, placed
