"""A guard against the trap of the objective: a change in the same place of every image that fools the classifier.

Flipping C's decision is easily bought with a few dots that have nothing to do with the disease. Every loss term is then
low and every negative realization negative. What gives it away is the place: pathology is here in one patient and there
in another, and so is what C looks at, while the dots stay where they are.
"""

import logging

import torch
import torch.nn.functional as F
from torch import Tensor

from medxgan.training.networks import Encoder, Generator

IMAGES = 64
"""Most positives that a training is watched on."""

logger = logging.getLogger(__name__)


def shared_place(maps: Tensor) -> float:
    """How far the maps of different images lie in one place: the mean correlation by pixel over all pairs of images.

    Args:
        maps: [N, 1, S, S] not negative, N >= 2, such as a difference map's magnitude.

    Returns:
        About 0 where one map says nothing of another, 1 where they are all the same but for their strength.
    """
    smooth = F.avg_pool2d(maps, 3, 1, 1).flatten(1)
    # What all pixels have in common, such as a faint change everywhere, is no place.
    directions = F.normalize(smooth - smooth.mean(1, keepdim=True), dim=1)
    count = len(directions)
    # The sum over all pairs is the squared length of the sum; every map's pair with itself has a similarity of 1.
    with_themselves = directions.sum(0).square().sum()
    itself = directions.square().sum()
    return ((with_themselves - itself) / (count * (count - 1))).item()


def is_trapped(of_difference: float, of_focus: float) -> bool:
    """Whether the difference stays in place from image to image far more than what C looks at does.

    Args:
        of_difference: `shared_place` of |G(z1, z2) - G(z1, 0)| over positives.
        of_focus: `shared_place` of where C looks in the same images.

    Returns:
        True where the difference is nearer to one place for all than to the focus' own variety.
    """
    return of_difference > 0.5 * (1 + of_focus)


class TrapGuard:
    """Watches a training on some of its positives.

    Args:
        generator: read at each call, in evaluation mode.
        encoder: the same; without one there is nothing to watch.
        x: [N, 1, S, S] the training images.
        focus: [N, 1, S, S] where C looks in positives; 0 in negatives.
    """

    def __init__(self, generator: Generator, encoder: Encoder | None, x: Tensor, focus: Tensor) -> None:
        self._generator = generator
        self._encoder = encoder
        positive = focus.amax((1, 2, 3)) > 0
        self._images, self._focus = x[positive][:IMAGES], focus[positive][:IMAGES]

    @torch.no_grad()
    def figures(self) -> dict[str, float]:
        """`shared_place` of the differences and of the focus, by name; a warning is logged where this is the trap."""
        if self._encoder is None or len(self._images) < 2:
            return {}
        code = self._encoder(self._images)
        difference = shared_place((self._generator(code) - self._generator.negative(code)).abs())
        focus = shared_place(self._focus)
        if is_trapped(difference, focus):
            logger.warning(
                "the difference lies in the same place of every image (%.2f, of what the classifier looks at %.2f): "
                "the generator may be fooling the classifier; raise generator.weights.adversarial",
                difference,
                focus,
            )
        return {"place_of_difference": difference, "place_of_focus": focus}
