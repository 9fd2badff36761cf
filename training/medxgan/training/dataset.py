"""Labelled images as the tensors that the training loops take."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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
            torch.tensor([float(inverted)]),
        )
        for levels, inverted in zip(images.images, images.inverted, strict=True)
    ]
    return Tensors(torch.cat(rows), torch.from_numpy(images.labels.astype(np.float32)))
