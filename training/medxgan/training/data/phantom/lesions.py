"""Lesions: irregular blobs that grow in the tissue of a head."""

import numpy as np
from numpy.typing import NDArray

from medxgan.training.data.phantom.head import Head
from medxgan.training.data.phantom.noise import Field, smooth_noise

MAXIMUM = 3  # lesions in one slice


def grow_lesions(rng: np.random.Generator, head: Head, labels: NDArray[np.uint8]) -> tuple[Field, NDArray[np.bool_]]:
    """Grows 1 to 3 lesions in each head with label 1.

    Args:
        rng: where every choice comes from.
        head: N heads.
        labels: uint8 [N], 1 where there is to be a lesion.

    Returns:
        Grey levels float32 [N, S, S], and bool [N, S, S], True where a lesion covers half of a pixel or more.
    """
    number = rng.integers(1, MAXIMUM + 1, len(labels)) * labels
    levels, masks = head.levels, np.zeros(head.tissue.shape, dtype=np.bool_)
    for lesion in range(MAXIMUM):
        cover = _blob(rng, head.tissue) * (number > lesion)[:, None, None]
        texture = 6.0 * smooth_noise(rng, len(labels), head.tissue.shape[-1], 8.0)
        brighter = _vary(rng, len(labels), 30.0, 58.0) + texture
        levels = np.maximum(levels, head.levels + brighter * cover)  # where two meet, they do not add up
        masks |= cover >= 0.5
    return levels, masks


def _blob(rng: np.random.Generator, tissue: NDArray[np.bool_]) -> Field:
    """How much of each pixel a blob about a random pixel of the tissue covers, 0 to 1; nothing outside the tissue."""
    count, size = len(tissue), tissue.shape[-1]
    lot = np.where(tissue, rng.random(tissue.shape, dtype=np.float32), -1.0)
    row, column = np.divmod(lot.reshape(count, -1).argmax(axis=1), size)
    down = np.arange(size, dtype=np.float32)[:, None] - row[:, None, None]
    right = np.arange(size, dtype=np.float32)[None, :] - column[:, None, None]
    turn, stretch = _vary(rng, count, 0.0, np.pi), _vary(rng, count, 1.0, 1.6)
    across, along = np.cos(turn) * right + np.sin(turn) * down, np.cos(turn) * down - np.sin(turn) * right
    reach = size * _vary(rng, count, 0.055, 0.12) * (1.0 + 0.2 * smooth_noise(rng, count, size, 5.0))
    edge = 2.0  # pixels
    cover: Field = np.clip((reach - np.hypot(across * stretch, along)) / edge + 0.5, 0.0, 1.0) * tissue
    return cover


def _vary(rng: np.random.Generator, count: int, low: float, high: float) -> Field:
    return rng.uniform(low, high, (count, 1, 1)).astype(np.float32)
