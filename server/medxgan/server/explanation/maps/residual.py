"""The residual map: what the image itself has over its negative realization, where the generator agrees.

The difference map is as blurred as the reconstruction, and the image's residual to the negative realization holds all
that the generator can't draw. Where both have the same sign, both say "pathology".

And the evidence map: the residual map where the classifier's score rests on it. The residual map knows what differs,
but not whether the classifier that is served looks there. Integrated gradients know where the score comes from, but not
what the image would be without the pathology. Their product is large where both agree.
"""

import numpy as np

from medxgan.server.engine.port import FloatArray
from medxgan.server.explanation.maps.path_integral import integrated_gradients
from medxgan.server.explanation.maps.subject import Made, Subject


async def residual(subject: Subject) -> Made:
    """The residual map of the finished inversion."""
    return residual_map(subject.original, subject.inverted.reconstruction, subject.inverted.negative_realization)


async def evidence(subject: Subject) -> Made:
    """The residual map, with its sign, times the magnitude of integrated gradients, smoothed by the same window."""
    integral, _ = await integrated_gradients(subject)
    magnitude = np.abs(integral[0, 0])
    found = subject.inverted
    residual = residual_map(subject.original, found.reconstruction, found.negative_realization)
    return residual * box_mean(magnitude, smoothing_window(len(magnitude)))


def residual_map(original: FloatArray, reconstruction: FloatArray, negative_realization: FloatArray) -> FloatArray:
    """|residual| times |difference| with their sign where they share it, else 0; both smoothed first.

    Args:
        original: [S, S] in [-1, 1], x.
        reconstruction: [S, S] in [-1, 1].
        negative_realization: [S, S] in [-1, 1].

    Returns:
        [S, S] in [-4, 4].
    """
    window = smoothing_window(len(original))
    residual = box_mean(original - negative_realization, window)
    difference = box_mean(reconstruction - negative_realization, window)
    product = residual * difference
    return np.where(product > 0, np.sign(difference) * product, 0).astype(np.float32)


def smoothing_window(side: int) -> int:
    """The odd number of pixels nearest to a twelfth of the side, at least 3: 5 for 64 pixels."""
    return max(3, 2 * (side // 24) + 1)


def box_mean(image: FloatArray, window: int) -> FloatArray:
    """The mean [S, S] over a window around each pixel of [S, S]; beyond the border there is 0."""
    padded = np.pad(image, window // 2)
    for axis in (0, 1):
        padded = np.lib.stride_tricks.sliding_window_view(padded, window, axis).mean(-1)
    return padded
