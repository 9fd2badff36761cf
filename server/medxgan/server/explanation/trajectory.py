"""The trajectory: the way from the negative realization to the positive one, picture by picture.

The way is that of latent integrated gradients, G(z1, a · z2) with a from 0 to 1: the anatomy stays, and what the
classifier looks at comes in.
"""

import numpy as np

from medxgan.server.explanation import Explained, PositiveRealization, TrajectoryFrame
from medxgan.server.networks import Networks
from medxgan.server.scores import probability


async def trajectory(
    explained: Explained, positive: PositiveRealization, frames: int, networks: Networks
) -> tuple[TrajectoryFrame, ...]:
    """Evenly spaced pictures of the way; the ends are the two realizations themselves.

    Args:
        explained: the inversion, whose negative realization is the begin.
        positive: the end.
        frames: pictures, both ends counted, >= 2.
        networks: the bundle's.
    """
    begin = TrajectoryFrame(0, explained.scores.negative_realization, explained.negative_realization)
    end = TrajectoryFrame(1, positive.score, positive.picture)
    positions = np.linspace(0, 1, frames, dtype=np.float32)[1:-1]
    if not len(positions):
        return begin, end
    pictures = await networks.generate(
        explained.negative_z + positions[:, np.newaxis] * (positive.z - explained.negative_z)
    )
    logits = await networks.positive_logits(pictures)
    between = (
        TrajectoryFrame(float(position), probability(float(logit)), picture[0])
        for position, logit, picture in zip(positions, logits, pictures, strict=True)
    )
    return begin, *between, end
