"""A picture of how far the generator is: fixed noise and fixed images, from one checkpoint to the next."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from medxgan.training.networks import Encoder, Generator

COLUMNS = 8


class SampleGrid:
    """Rows of eight pictures: samples with z2 = 0, and the same with z2 ~ N(0, I).

    With an encoder also real positives, their reconstructions and their negative realizations.

    Args:
        generator: read at each writing, in evaluation mode.
        encoder: the same.
        x: [N, 1, S, S] the training images.
        decision: [N] C's decision on them.
        seed: of the fixed noise.
    """

    def __init__(self, generator: Generator, encoder: Encoder | None, x: Tensor, decision: Tensor, seed: int) -> None:
        self._generator = generator
        self._encoder = encoder
        random = torch.Generator().manual_seed(seed)
        z = torch.randn(COLUMNS, generator.z1_size + generator.z2_size, generator=random)
        self._z = z.to(x.device)
        self._images = x[decision > 0][:COLUMNS]

    @torch.no_grad()
    def write(self, file: Path) -> None:
        """Write the grid as a grey PNG."""
        generator = self._generator
        rows = [generator.negative(self._z), generator(self._z)]
        if self._encoder is not None and len(self._images) == COLUMNS:
            code = self._encoder(self._images)
            rows += [self._images, *generator.realize(code)]
        picture = torch.cat([torch.cat(list(row), 2) for row in rows], 1)[0]
        levels = ((picture.clamp(-1, 1) + 1) * 127.5).round().cpu().numpy().astype(np.uint8)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels).save(file)
