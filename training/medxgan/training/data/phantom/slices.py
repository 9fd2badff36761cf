"""The generator of phantoms."""

import numpy as np
from numpy.typing import NDArray

from medxgan.training.data.errors import DataError
from medxgan.training.data.phantom.head import Head, draw_heads
from medxgan.training.data.phantom.lesions import grow_lesions
from medxgan.training.data.phantom.noise import Field
from medxgan.training.data.samples import LabelledImages

CHUNK = 128  # slices drawn at a time, which bounds the memory


def phantoms(count: int, size: int = 64, seed: int = 0, positive_share: float = 0.5) -> LabelledImages:
    """Draws slices; every one is a patient of its own.

    Anatomy and lesions have random numbers of their own: with `positive_share` 0 the same seed draws the very same
    heads and noise without lesions, the truth that a negative realization can be measured against.

    Args:
        count: number of slices.
        size: height and width S in pixels, 32 or more.
        seed: fixes every slice, 0 or more.
        positive_share: share of slices with 1 to 3 lesions, 0 to 1; the others have none.

    Returns:
        uint8 images [S, S] with masks bool [N, S, S], True where a lesion covers half of a pixel or more.

    Raises:
        DataError: an argument is out of range.
    """
    if count < 0:
        raise DataError(f"count: expected 0 or more, got {count}")
    if size < 32:
        raise DataError(f"size: expected 32 or more, got {size}")
    if seed < 0:
        raise DataError(f"seed: expected 0 or more, got {seed}")
    if not 0.0 <= positive_share <= 1.0:
        raise DataError(f"positive_share: expected 0 to 1, got {positive_share}")

    label_seed, head_seed, lesion_seed = np.random.SeedSequence(seed).spawn(3)
    labels = np.zeros(count, dtype=np.uint8)
    labels[np.random.default_rng(label_seed).permutation(count)[: round(count * positive_share)]] = 1

    images = np.empty((count, size, size), dtype=np.uint8)
    masks = np.empty((count, size, size), dtype=np.bool_)
    chunks = [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]
    seeds = zip(head_seed.spawn(len(chunks)), lesion_seed.spawn(len(chunks)), strict=True)
    for rows, (of_heads, of_lesions) in zip(chunks, seeds, strict=True):
        heads = draw_heads(np.random.default_rng(of_heads), len(labels[rows]), size)
        levels, masks[rows] = grow_lesions(np.random.default_rng(of_lesions), heads, labels[rows])
        images[rows] = _scan(levels, heads)

    names = tuple(f"phantom {seed}-{row}" for row in range(count))
    return LabelledImages(
        images=list(images),
        labels=labels,
        patients=names,
        sources=("phantom",) * count,
        ids=names,
        inverted=np.zeros(count, dtype=np.bool_),
        masks=masks,
    )


def _scan(levels: Field, head: Head) -> NDArray[np.uint8]:
    """The picture that the scanner takes; a magnitude image has Rician noise, so air is not black.

    The noise of the second channel is the first one's, moved by a pixel.
    """
    seen = np.hypot(levels * head.gain + head.noise, np.roll(head.noise, 1, axis=-1))
    picture: NDArray[np.uint8] = np.clip(np.rint(seen), 0, 255).astype(np.uint8)
    return picture
