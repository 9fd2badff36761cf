"""How the networks grow with the image: lists of channels, stated once, fitted to any size.

Every network halves or doubles the resolution between the image and a grid of 4x4, so that it has one entry of its
list for each doubling. A list that is too short or too long for the size is repeated or cut at its coarse end: near the
image, where the channels cost most, a larger picture is treated as a small one is.
"""

COARSEST_SIDE = 4
"""Side in pixels of the grid at which decoders begin, and encoders and discriminators end."""


def doublings(image_size: int) -> int:
    """How often 4x4 pixels are doubled until they are the image.

    Raises:
        ValueError: the size is not 4 * 2**n.
    """
    count = (image_size // COARSEST_SIDE).bit_length() - 1
    if count < 1 or COARSEST_SIDE * 2**count != image_size:
        raise ValueError(f"expected 4 times a power of two, at least 8, found {image_size}")
    return count


def decoder_channels(stated: tuple[int, ...], image_size: int) -> tuple[int, ...]:
    """Channels from 4x4 pixels upwards: the first, the coarsest, is repeated, or the first are left out."""
    return encoder_channels(stated[::-1], image_size)[::-1]


def encoder_channels(stated: tuple[int, ...], image_size: int) -> tuple[int, ...]:
    """Channels from the image down to 4x4 pixels: the last, the coarsest, is repeated, or the last are left out."""
    count = doublings(image_size)
    return (stated + stated[-1:] * count)[:count]
