"""Phantoms: drawn slices that look like axial FLAIR images of brains, with lesions and their exact masks.

They let a test learn something real in a minute, on pictures that anyone may have. The lesions are only a little
brighter than the tissue around them, and scalp, vessels and choroid plexus are as bright or brighter: whoever takes
bright for ill is wrong.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medxgan.training.data.errors import DataError
from medxgan.training.data.samples import LabelledImages

Field = NDArray[np.float32]
"""One value a pixel: float32 [N, S, S]."""

CHUNK = 128  # slices drawn at a time, which bounds the memory
MAXIMUM_LESIONS = 3


def phantoms(count: int, size: int = 64, seed: int = 0, positive_share: float = 0.5) -> LabelledImages:
    """Draws slices; every one is a patient of its own.

    Anatomy and lesions have random numbers of their own: with `positive_share` 0 the same seed draws the very same
    heads and noise without lesions, the ground truth that a negative realization is to be measured against.

    Args:
        count: number of slices.
        size: height and width S in pixels, 32 or more.
        seed: fixes every slice.
        positive_share: share of slices with 1 to 3 lesions, 0 to 1; the others have none.

    Returns:
        uint8 images [S, S] with masks bool [N, S, S].

    Raises:
        DataError: an argument is out of range.
    """
    if count < 0:
        raise DataError(f"count: expected 0 or more, got {count}")
    if size < 32:
        raise DataError(f"size: expected 32 or more, got {size}")
    if not 0.0 <= positive_share <= 1.0:
        raise DataError(f"positive_share: expected 0 to 1, got {positive_share}")

    label_seed, anatomy_seed, lesion_seed = np.random.SeedSequence(seed).spawn(3)
    labels = np.zeros(count, dtype=np.uint8)
    labels[np.random.default_rng(label_seed).permutation(count)[: round(count * positive_share)]] = 1

    images = np.empty((count, size, size), dtype=np.uint8)
    masks = np.empty((count, size, size), dtype=np.bool_)
    chunks = range(0, count, CHUNK)
    seeds = zip(anatomy_seed.spawn(len(chunks)), lesion_seed.spawn(len(chunks)), strict=True)
    for start, (head_seed, blob_seed) in zip(chunks, seeds, strict=True):
        rows = slice(start, start + CHUNK)
        head = _draw_head(np.random.default_rng(head_seed), len(labels[rows]), size)
        images[rows], masks[rows] = _add_lesions(np.random.default_rng(blob_seed), head, labels[rows])

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


@dataclass(frozen=True)
class _Head:
    """Heads before lesions: grey levels of the tissue, where a lesion can grow, and what the scanner does to it all."""

    levels: Field
    tissue: NDArray[np.bool_]
    gain: Field
    noise: Field


def _draw_head(rng: np.random.Generator, count: int, size: int) -> _Head:
    def vary(low: float, high: float) -> Field:
        """One random number for each slice, [N, 1, 1]."""
        return rng.uniform(low, high, (count, 1, 1)).astype(np.float32)

    pixel = 2.0 / size  # the picture spans -1 to 1
    axis = (np.arange(size, dtype=np.float32) + 0.5) * pixel - 1.0
    down, right = axis[:, None], axis[None, :]
    turn = vary(-0.2, 0.2)
    across = np.cos(turn) * (right - vary(-0.06, 0.06)) + np.sin(turn) * (down - vary(-0.05, 0.05))
    along = np.cos(turn) * (down - vary(-0.05, 0.05)) - np.sin(turn) * (right - vary(-0.06, 0.06))

    # The outline of the head is 1 in `radius`: an egg of random width, wider behind, with a few slow bumps.
    length, width = vary(0.78, 0.93), vary(0.62, 0.76)
    across = across / (width * (1.0 + 0.1 * along))
    along = along / length
    angle = np.arctan2(along, across)
    bumps = sum(vary(0.0, 0.02) * np.cos(k * angle + vary(0.0, 6.3)) for k in (2, 3, 4))
    radius = np.hypot(across, along) / (1.0 + bumps)
    soft = pixel / width  # half the width of an edge: one pixel

    def inside(signed: Field) -> Field:
        """1 where negative, 0 where positive, with an edge as soft as a pixel."""
        return np.clip(0.5 - signed / (2.0 * soft), 0.0, 1.0).astype(np.float32)

    folds, fine, slow = (_smooth_noise(rng, count, size, waves) for waves in (5.0, 10.0, 1.5))
    skull = vary(0.86, 0.89)
    depth = skull - radius
    brain = inside(-depth)

    # Sulci run in from the surface, to uneven depths; grey matter lines them and the surface, white matter lies below.
    clefts = 13
    cleft = np.abs(np.sin(0.5 * (clefts * angle + 1.4 * folds))) * radius * (2.0 / clefts)
    run = vary(0.15, 0.22) + 0.05 * _smooth_noise(rng, count, size, 4.0)
    white_level, grey_level, fluid_level = vary(84.0, 98.0), vary(114.0, 132.0), vary(22.0, 38.0)
    cortex = np.maximum(inside(depth - 0.09 - 0.03 * folds), inside(np.maximum(cleft - 0.055, depth - run - 0.05)))
    sulci = inside(np.maximum(cleft - 0.004, depth - run))
    tissue = white_level + (grey_level - white_level) * cortex + 4.0 * fine + 5.0 * slow
    mirrored = np.abs(across)
    for x, y, half_width, half_length in ((0.30, -0.02, 0.09, 0.20), (0.13, 0.10, 0.07, 0.12)):  # putamen, thalamus
        nucleus = np.hypot((mirrored - x) / half_width, (along - y + 0.1 * (mirrored - x)) / half_length) - 1.0
        tissue += 0.8 * (grey_level - white_level) * inside(nucleus * half_width)

    # Ventricles: a pair of bows that part in front and behind, and the slit between the thalami.
    span, top = vary(0.24, 0.42), vary(-0.12, 0.04)
    reach = (along - top) / span
    bow = np.abs(mirrored - 0.06 - vary(0.10, 0.22) * reach**2)
    ventricles = inside(bow - vary(0.035, 0.085) * np.sqrt(np.clip(1.0 - reach**2, 0.0, 1.0)) + 0.03 * (reach**2 > 1.0))
    slit = inside(np.maximum(mirrored - 0.015, np.abs(along - 0.12) - 0.14))
    fissure = inside(np.maximum(mirrored - 0.012, vary(0.40, 0.50) - np.abs(along)))
    hollow = np.maximum(ventricles, slit)
    fluid = np.maximum(hollow, np.maximum(0.7 * sulci, 0.6 * fissure))

    levels = tissue + (fluid_level - tissue) * fluid
    levels = fluid_level + (levels - fluid_level) * brain

    # Bright and healthy: choroid plexus in the ventricles, the venous sinus behind, vessels in the cortex.
    bright = vary(165.0, 220.0)
    plexus = np.hypot(mirrored - 0.06 - vary(0.05, 0.12), along - top - 0.75 * span) - vary(0.03, 0.055)
    sinus = np.hypot(across, (along - skull + 0.04) * 0.8) - vary(0.03, 0.06)
    vessels = inside(vary(2.3, 2.9) * 0.06 - 0.06 * fine) * inside(depth - 0.35)
    healthy = np.maximum(np.maximum(inside(plexus), inside(sinus)), vessels)
    levels += (bright - levels) * healthy * inside(-depth - 0.03)

    # Outside the brain: dark bone, then scalp, whose fat is the brightest of all, then air.
    bone, scalp = inside(skull + 0.035 - radius), inside(vary(0.925, 0.95) - radius)
    levels += (vary(12.0, 30.0) - levels) * bone
    levels += (vary(215.0, 240.0) + 8.0 * slow - levels) * scalp
    levels *= inside(radius - 1.0)

    return _Head(
        levels=levels.astype(np.float32),
        tissue=(depth > 0.08) & (hollow < 0.2) & (healthy < 0.2),
        gain=(1.0 + 0.08 * _smooth_noise(rng, count, size, 1.0)) * vary(0.9, 1.05),
        noise=rng.standard_normal((count, size, size), dtype=np.float32) * vary(2.0, 5.0),
    )


def _add_lesions(
    rng: np.random.Generator, head: _Head, labels: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Grows 1 to 3 blobs in each head with label 1 and takes the picture; a mask is where half of a pixel is lesion."""
    count, size = len(labels), head.levels.shape[-1]
    number = rng.integers(1, MAXIMUM_LESIONS + 1, count) * labels
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    levels, masks = head.levels, np.zeros(head.tissue.shape, dtype=np.bool_)
    for lesion in range(MAXIMUM_LESIONS):
        centre = np.where(head.tissue, rng.random(head.tissue.shape, dtype=np.float32), -1.0).reshape(count, -1)
        row, column = np.divmod(centre.argmax(axis=1), size)
        across, along = columns - column[:, None, None], rows - row[:, None, None]
        turn = rng.uniform(0.0, np.pi, (count, 1, 1))
        stretch = rng.uniform(1.0, 1.6, (count, 1, 1))
        distance = np.hypot(
            (np.cos(turn) * across + np.sin(turn) * along) * stretch, np.cos(turn) * along - np.sin(turn) * across
        )
        reach = size * rng.uniform(0.055, 0.12, (count, 1, 1))
        rim = 1.0 + 0.2 * _smooth_noise(rng, count, size, 5.0)
        cover = np.clip((reach * rim - distance) / 2.0 + 0.5, 0.0, 1.0)  # an edge of two pixels
        cover *= head.tissue * (number > lesion)[:, None, None]
        gain = rng.uniform(30.0, 58.0, (count, 1, 1)) + 6.0 * _smooth_noise(rng, count, size, 8.0)
        levels = np.maximum(levels, head.levels + gain * cover)
        masks |= cover >= 0.5
    seen = np.hypot(levels * head.gain + head.noise, head.noise)  # magnitude images have Rician noise
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8), masks


def _smooth_noise(rng: np.random.Generator, count: int, size: int, waves: float) -> Field:
    """Random fields [N, S, S] of mean 0 and deviation 1 with features of about S / `waves` pixels; they wrap around."""
    across, down = np.fft.rfftfreq(size) * size, np.fft.fftfreq(size)[:, None] * size
    passed = np.exp(-(across**2 + down**2) / (2.0 * waves**2)).astype(np.float32)
    passed[0, 0] = 0.0
    white = np.fft.rfft2(rng.standard_normal((count, size, size), dtype=np.float32))
    noise = np.fft.irfft2(white * passed, s=(size, size))
    smooth: Field = (noise / noise.std(axis=(1, 2), keepdims=True)).astype(np.float32)
    return smooth
