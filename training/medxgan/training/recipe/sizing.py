"""How large the networks are to be, and how long they are to be trained, of what is known beforehand."""

from typing import Any

SIZES = (32, 64, 128)
"""Sides that a recipe chooses from. A configuration may state others; this form was measured up to 128."""

BATCH_SIZE = 32

FEWEST_STEPS = 400
"""Below it a generator draws little more than a mean picture."""

MOST_STEPS = 12_000

PASSES = 60
"""How often a training sees each image: the 2,600 steps that 1,300 images at 64x64 were found to need."""

FEW_IMAGES = 300

MANY_IMAGES = 20_000


def image_size(picture: int, classifier: int | None) -> int:
    """Side of x: the largest that neither the data's pictures nor the classifier's are enlarged for by half.

    Args:
        picture: side of the data's pictures in pixels, the shorter one.
        classifier: side of the pictures that the classifier takes; None where it takes any.
    """
    known = picture if classifier is None else min(picture, classifier)
    fitting = [size for size in SIZES if size <= 1.5 * known]
    return fitting[-1] if fitting else SIZES[0]


def steps_for(images: int) -> int:
    """Steps for a number of training images."""
    return min(max(PASSES * images // BATCH_SIZE, 1000), MOST_STEPS)


def generator_sizes(images: int, size: int) -> dict[str, Any]:
    """The sizes of a `generator` section: few images leave many latents without anything to say."""
    scale = 0.5 if images < FEW_IMAGES or size <= SIZES[0] else 1.5 if images > MANY_IMAGES else 1.0

    def scaled(*channels: int) -> list[int]:
        return [round(scale * each) for each in channels]

    return {
        "z1_size": round(96 * scale),
        "z2_size": round(32 * scale),
        "channels": scaled(112, 80, 56, 28),
        "pathology_channels": scaled(80, 56, 40, 20),
        "discriminator_channels": scaled(32, 64, 96, 128),
        "encoder_channels": scaled(24, 48, 72, 96),
        "batch_size": BATCH_SIZE,
    }
