"""How well a map lies on boxes or masks: the figures that trainings are compared by on calibration patients."""

import torch
import torch.nn.functional as F
from torch import Tensor

from medxgan.training.networks import ExplainedClassifier
from medxgan.training.networks.layers import captured


def average_precision(maps: Tensor, masks: Tensor) -> Tensor:
    """Average precision [N] of each map [N, 1, S, S] as a ranking of pixels, against its mask, where above 1/2."""
    inside = masks.flatten(1) > 0.5
    ordered = inside.gather(1, maps.flatten(1).argsort(dim=1, descending=True, stable=True)).float()
    precision = ordered.cumsum(1) / torch.arange(1, ordered.shape[1] + 1)
    return (precision * ordered).sum(1) / ordered.sum(1).clamp_min(1)


def pointing(maps: Tensor, masks: Tensor) -> Tensor:
    """1 in [N] where the maximum of the map [N, 1, S, S] lies in the mask, else 0."""
    peak = maps.flatten(1).argmax(1, keepdim=True)
    return (masks.flatten(1).gather(1, peak)[:, 0] > 0.5).float()


def smoothed(maps: Tensor, passes: int = 3) -> Tensor:
    """Maps [N, 1, S, S] averaged over 5x5 pixels, several times: about a Gaussian."""
    for _ in range(passes):
        maps = F.avg_pool2d(F.pad(maps, (2,) * 4, mode="replicate"), 5, 1)
    return maps


def grad_cam(classifier: ExplainedClassifier, x: Tensor) -> Tensor:
    """Grad-CAM [N, 1, S, S] of the logit at the classifier's layer (Selvaraju et al., 2017)."""
    maps = []
    for rows in torch.split(x, 64):
        leaf = rows.detach().requires_grad_(True)
        with captured(classifier.body, [classifier.layer]) as kept:
            logit = classifier(leaf)
        activations = kept[classifier.layer]
        (gradient,) = torch.autograd.grad(logit.sum(), activations)
        cam = F.relu((gradient.mean((2, 3), keepdim=True) * activations).sum(1, keepdim=True))
        maps.append(F.interpolate(cam.detach(), x.shape[2:], mode="bilinear", align_corners=False))
    return torch.cat(maps)
