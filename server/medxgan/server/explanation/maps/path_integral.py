"""The gradient averaged along a path of images, by Gauss-Legendre quadrature."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medxgan.server.engine.port import FloatArray
from medxgan.server.explainers.explainer import Subject

Path = Callable[[FloatArray], Awaitable[FloatArray]]
"""From places [N] in (0, 1) along the path to the images [N, 1, S, S] there."""


async def average_gradient(subject: Subject, path: Path) -> NDArray[np.float64]:
    """The gradient of the target's logit, averaged over the path: [1, S, S]."""
    networks, settings = subject.networks, subject.settings
    # Many points take long enough to hold the event loop up.
    points, weights = await asyncio.to_thread(gauss_legendre, settings.path_steps)
    average = np.zeros(subject.x.shape[1:])
    for chunk in networks.chunks(len(points)):
        images = await path(points[chunk].astype(np.float32))
        average += np.tensordot(weights[chunk], await networks.gradients(images, settings.target), axes=1)
    return average


@lru_cache(maxsize=8)
def gauss_legendre(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points [count] in (0, 1) and weights [count], summing to 1, exact for polynomials of degree 2 count - 1."""
    points, weights = np.polynomial.legendre.leggauss(count)
    return (1 + points) / 2, weights / 2
