"""How well maps find the lesions that people marked."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision

from medxgan.training.configuration import TrainingConfig
from medxgan.training.data.samples import LabelledImages
from medxgan.training.evaluation.cohort import Cohort
from medxgan.training.evaluation.explained import Explained
from medxgan.training.evaluation.saliency import saliencies
from medxgan.training.preprocessing import Aspect, Preprocess
from medxgan.v1.bundle_pb2 import Metric

MAPS = {
    "difference": "the difference map's magnitude",
    "residual": "the residual map's magnitude",
    "intensity": "plain image intensity",
}


@dataclass(frozen=True)
class Localisation:
    """Figures of each map against each image's mask, which is not empty.

    Attributes:
        rows: [N] True where the explained image has a lesion mask: M of them.
        average_precision: [M] by map.
        pointing: [M] by map.
        lesion_share: [M] the lesions' share of the image: what either figure of a random map would be.
        cohort: the M images.
    """

    rows: Tensor
    average_precision: Mapping[str, Tensor]
    pointing: Mapping[str, Tensor]
    lesion_share: Tensor
    cohort: Cohort


def localise(explained: Explained, masks: Tensor) -> Localisation | None:
    """Hold the maps against masks [N, 1, S, S]; None where all of them are empty."""
    rows = masks.flatten(1).any(1)
    if not rows.any():
        return None
    masks = masks[rows]
    maps = {name: values[rows] for name, values in saliencies(explained).items()}
    return Localisation(
        rows,
        {name: average_precision(values, masks) for name, values in maps.items()},
        {name: pointing(values, masks) for name, values in maps.items()},
        masks.float().mean((1, 2, 3)),
        explained.cohort.select(rows, "true positives with a lesion mask"),
    )


def localisation_metrics(localisation: Localisation) -> list[Metric]:
    """Average precision and pointing of every map, averaged over images, and what a random map would reach."""
    metric = localisation.cohort.metric
    return [
        *(
            metric(f"{name}_average_precision", localisation.average_precision[name].mean().item(),
                   f"Average precision of {what} against the lesion mask, by pixel.")
            for name, what in MAPS.items()
        ),
        metric("chance_average_precision", localisation.lesion_share.mean().item(),
               "Average precision, and pointing, of a random map: the lesions' share of the image."),
        *(
            metric(f"{name}_pointing", localisation.pointing[name].mean().item(),
                   f"Share of images in which the strongest pixel of {what} lies on the lesion.")
            for name, what in MAPS.items()
        ),
    ]  # fmt: skip


def average_precision(maps: Tensor, masks: Tensor) -> Tensor:
    """Area [M] under the precision-recall curve of "this pixel is lesion", for maps that are not negative."""
    scores = [
        # torchmetrics takes values outside [0, 1] for logits.
        binary_average_precision(values.flatten() / values.max().clamp_min(1e-8), mask.flatten().long())
        for values, mask in zip(maps, masks, strict=True)
    ]
    return torch.stack(scores)


def pointing(maps: Tensor, masks: Tensor) -> Tensor:
    """[M] 1 where the strongest pixel lies on the lesion, else 0; of several equal ones, the share that does.

    Source: Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016, section 4.1; without margin.
    """
    strongest = maps == maps.amax((1, 2, 3), keepdim=True)
    return (strongest & masks).sum((1, 2, 3)) / strongest.sum((1, 2, 3))


def resize_masks(configuration: TrainingConfig, images: LabelledImages) -> Tensor:
    """[N, 1, S, S] True where at least half of a pixel of x lies on the mask; the images' masks must be there."""
    if images.masks is None:
        raise ValueError("images.masks: expected masks")
    return lesion_masks(images.masks, configuration.image.size, configuration.image.aspect)


def lesion_masks(masks: NDArray[np.bool_], size: int, aspect: Aspect) -> Tensor:
    """[N, 1, S, S] True where at least half of a pixel of x lies on the mask, for masks [N, H, W] and S = `size`."""
    geometry = Preprocess(size, 0, 100, aspect)
    rows = [geometry(torch.from_numpy(mask).float()[None, None], torch.zeros(1)) for mask in masks]
    return torch.cat(rows) > 0
