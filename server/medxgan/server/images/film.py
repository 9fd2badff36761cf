"""The grey picture that every form of image becomes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COLOUR_NOTE = "colour was converted to grey"

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""


@dataclass(frozen=True)
class GreyImage:
    """A grey picture as it was sent, before any scaling.

    Attributes:
        levels: [H, W] float32 grey levels in the sender's own units; finite.
        inverted: whether a high level means dark (DICOM's MONOCHROME1, TIFF's WhiteIsZero).
        notes: what was done to the picture on the way in, a sentence each, for the caller.
    """

    levels: NDArray[np.float32]
    inverted: bool = False
    notes: tuple[str, ...] = ()


def grey_from_colour(colour: NDArray[np.generic]) -> NDArray[np.float32]:
    """Turn red, green and blue [H, W, 3] into grey [H, W] by the luma of ITU-R BT.601."""
    return colour.astype(np.float32) @ _LUMA
