"""What the pathology adds to the picture: the difference map, how much it varies, and the same in colour.

Dravid et al., medXGAN: Visual Explanations for Medical Classifiers through a Generative Latent Space, CVPR Workshop
2022.
"""

from collections.abc import Sequence

import numpy as np

from medxgan.server.engine.port import FloatArray

FULL_COLOUR_PERCENTILE = 99.5
"""Percentile of |difference| that is drawn in full colour: a few outlying pixels don't wash out the rest."""

LEAST_FULL_COLOUR = 0.25
"""Least |difference| that is drawn in full colour, an eighth of the grey range: a map of next to nothing stays pale."""

RED = np.array([1.0, 0.0, 0.0], np.float32)
BLUE = np.array([0.0, 0.0, 1.0], np.float32)


def uncertainty_map(differences: Sequence[FloatArray]) -> FloatArray:
    """The standard deviation of difference maps, pixel by pixel.

    Args:
        differences: of each restart: [S, S] in [-2, 2]; at least one.

    Returns:
        [S, S] in [0, 2]; 0 where all agree. The deviation of the restarts at hand, not an estimate for others.
    """
    deviation: FloatArray = np.stack(differences).std(axis=0, dtype=np.float64).astype(np.float32)
    return deviation


def colorized_map(original: FloatArray, difference: FloatArray) -> FloatArray:
    """Lay the difference over the original in colour; red adds intensity, blue takes it away.

    A pixel is the original's grey, covered by red or blue with the opacity min(1, |difference| / scale). The scale is
    the 99.5th percentile of |difference| in this picture, but at least 0.25.

    Args:
        original: [S, S] in [-1, 1].
        difference: [S, S] in [-2, 2].

    Returns:
        [S, S, 3] red, green and blue in [0, 1].
    """
    magnitude = np.abs(difference)
    scale = max(float(np.percentile(magnitude, FULL_COLOUR_PERCENTILE)), LEAST_FULL_COLOUR)
    opacity = np.minimum(magnitude / np.float32(scale), 1)[..., np.newaxis]
    grey = np.clip((original + 1) / 2, 0, 1)[..., np.newaxis]
    colour = np.where((difference > 0)[..., np.newaxis], RED, BLUE)
    blended: FloatArray = grey * (1 - opacity) + colour * opacity
    return blended
