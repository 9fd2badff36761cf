"""Labelled images as the tensors that the training loops take."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medxgan.training.data.errors import DataError
from medxgan.training.data.samples import LabelledImages
from medxgan.training.preprocessing import Preprocess


@dataclass(frozen=True)
class Tensors:
    """Preprocessed images.

    Attributes:
        x: [N, 1, S, S] in [-1, 1].
        label: [N], 0 or 1.
    """

    x: Tensor
    label: Tensor


@torch.no_grad()
def preprocess_images(preprocess: Preprocess, images: LabelledImages) -> Tensors:
    """Run every image, of whatever size, through the preprocessing that the server will use."""
    rows = [
        preprocess(
            torch.from_numpy(np.asarray(levels, dtype=np.float32))[None, None],
            torch.tensor([float(images.inverted[row])]),
            torch.tensor([images.pixel_aspect(row)]),
        )
        for row, levels in enumerate(images.images)
    ]
    x = torch.cat(rows) if rows else torch.empty(0, 1, preprocess.size, preprocess.size)
    return Tensors(x, torch.from_numpy(images.labels.astype(np.float32)))


def lesion_masks(images: LabelledImages, size: int) -> Tensor:
    """Share [N, 1, size, size] of each pixel of x that the mask covers, for square pictures; 0 where there are none.

    Raises:
        DataError: a picture is not square, so that its mask does not lie as x does whatever the aspect's treatment.
    """
    if images.masks is None:
        return torch.zeros(len(images), 1, size, size)
    if images.masks.shape[1] != images.masks.shape[2]:
        raise DataError(f"masks: expected square pictures, found {list(images.masks.shape[1:])}")
    rows = torch.from_numpy(images.masks)[:, None]
    return torch.cat([F.interpolate(part.float(), (size, size), mode="area") for part in torch.split(rows, 256)])
