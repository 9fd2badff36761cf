"""Where the classifier looks."""

import torch
import torch.nn.functional as F
from torch import Tensor

from medxgan.training.networks import ExplainedClassifier


def classifier_focus(classifier: ExplainedClassifier, x: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """C's decision and, in what it calls positive, the smoothed |(x + 1) · dC/dx|, scaled to 0 to 1 per image.

    Args:
        classifier: frozen, in evaluation mode.
        x: [N, 1, S, S] in [-1, 1].
        threshold: probability from which an image is positive.

    Returns:
        Decision [N], 0 or 1, and focus [N, 1, S, S], 0 in negatives.
    """
    decisions, maps = [], []
    for rows in torch.split(x, 128):
        leaf = rows.clone().requires_grad_(True)
        logit = classifier(leaf)
        (gradient,) = torch.autograd.grad(logit.sum(), leaf)
        decision = (torch.sigmoid(logit.detach()) >= threshold).float()
        salience = F.avg_pool2d((gradient * (rows + 1)).abs(), 5, 1, 2)
        peak = salience.amax((1, 2, 3), keepdim=True).clamp_min(1e-8)
        decisions.append(decision)
        maps.append(salience / peak * decision[:, None, None, None])
    return torch.cat(decisions), torch.cat(maps)
