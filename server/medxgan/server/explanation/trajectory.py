"""The trajectory: the way from the negative realization to the positive one, picture by picture.

The way is that of latent integrated gradients, G(z1, a · z2) with a from 0 to 1: the anatomy stays, and what the
classifier looks at comes in.
"""

import numpy as np

from medxgan.server.explanation.explanation import Inverted, PositiveRealization, TrajectoryFrame
from medxgan.server.explanation.networks import Networks
from medxgan.server.explanation.scores import Score


async def trajectory(
    inverted: Inverted, positive: PositiveRealization, frames: int, threshold: float, networks: Networks
) -> tuple[TrajectoryFrame, ...]:
    """Evenly spaced pictures of the way; the ends are the two realizations themselves.

    Args:
        inverted: the inversion, whose negative realization is the begin.
        positive: the end.
        frames: pictures, both ends counted, >= 2.
        threshold: probability from which a picture counts as positive.
        networks: the bundle's.
    """
    begin = TrajectoryFrame(0, inverted.negative_realization_score, inverted.negative_realization)
    end = TrajectoryFrame(1, positive.score, positive.picture)
    positions = np.linspace(0, 1, frames, dtype=np.float32)[1:-1]
    if not len(positions):
        return begin, end
    pictures, logits = await networks.draw(
        inverted.negative_z + positions[:, np.newaxis] * (positive.z - inverted.negative_z)
    )
    between = (
        TrajectoryFrame(float(position), Score.of(float(logit), threshold), picture[0])
        for position, logit, picture in zip(positions, logits, pictures, strict=True)
    )
    return begin, *between, end
