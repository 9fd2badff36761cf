"""Occlusion: how much the logit falls when a window over the pixel is blanked.

Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 4.2.
"""

import numpy as np
from numpy.typing import NDArray

from medxgan.server.explanation.maps.subject import Made, Subject


async def occlusion(subject: Subject) -> Made:
    """The mean over the windows that cover a pixel of the logit's fall."""
    x, settings, networks = subject.x, subject.settings, subject.networks
    covers = window_covers(x.shape[-1], settings.window, settings.stride)
    count = len(covers)
    falls = np.empty(count * count)
    for chunk in networks.chunks(count * count):
        rows, columns = np.divmod(np.arange(count * count)[chunk], count)
        windows = covers[rows, np.newaxis, :, np.newaxis] & covers[columns, np.newaxis, np.newaxis, :]
        occluded = np.where(windows, np.float32(settings.level), x)
        falls[chunk] = subject.target_logit - await networks.logits(occluded, settings.target)
    weights = covers / covers.sum(axis=0)
    values: NDArray[np.float64] = weights.T @ falls.reshape(count, count) @ weights
    return values.astype(np.float32)


def window_covers(side: int, window: int, stride: int) -> NDArray[np.bool_]:
    """Which pixels each position of a window covers along one axis.

    Positions are 0, stride, 2 stride, … up to the first whose window reaches the border, where it is cut off: as many
    as `captum.attr.Occlusion` has.

    Args:
        side: S, pixels along the axis.
        window: pixels that the window covers, 1 to `side`.
        stride: pixels between two positions, 1 to `window`.

    Returns:
        [positions, S]; every pixel is covered at least once.
    """
    starts = stride * np.arange(-(-(side - window) // stride) + 1)[:, np.newaxis]
    pixels = np.arange(side)
    covers: NDArray[np.bool_] = (starts <= pixels) & (pixels < starts + window)
    return covers
