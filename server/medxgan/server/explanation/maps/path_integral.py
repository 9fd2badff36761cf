"""Integrals of the gradient along a path of images, by Gauss-Legendre quadrature, as Captum does by default."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medxgan.server.engine.port import FloatArray
from medxgan.server.explanation.explanation import Completeness
from medxgan.server.explanation.maps.subject import Subject

Path = Callable[[FloatArray], Awaitable[FloatArray]]
"""From places [N] in (0, 1) along the path to the images [N, 1, S, S] there."""


async def integrated_gradients(subject: Subject) -> tuple[FloatArray, Completeness]:
    """(x - b) times the average over a in [0, 1] of d logit / d x at b + a (x - b): [1, 1, S, S].

    Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017, equation 1.
    """
    baseline = np.full_like(subject.x, subject.settings.baseline)
    way = subject.x - baseline

    async def path(places: FloatArray) -> FloatArray:
        return baseline + places[:, np.newaxis, np.newaxis, np.newaxis] * way

    values = await _average_gradient(subject, path) * way
    begin, end = await subject.networks.logits(np.concatenate([baseline, subject.x]), subject.settings.target)
    return values.astype(np.float32), Completeness(float(values.sum()), float(end - begin))


async def latent_integrated_gradients(subject: Subject) -> tuple[FloatArray, Completeness]:
    """The gradient averaged over G(z1, a z2), a in [0, 1], times G(z1, z2) - G(z1, 0): [1, S, S].

    Every image of the path is one that the generator could have drawn of this patient. Dravid et al., medXGAN, CVPR
    Workshop 2022.
    """
    found, networks = subject.inverted, subject.networks
    begin, way = found.negative_z, found.z - found.negative_z

    async def path(places: FloatArray) -> FloatArray:
        images, _ = await networks.draw(begin + places[:, np.newaxis] * way)
        return images

    values = await _average_gradient(subject, path) * found.difference
    ends = np.stack([found.reconstruction, found.negative_realization])[:, np.newaxis]
    end_logit, begin_logit = await networks.logits(ends, subject.settings.target)
    return values.astype(np.float32), Completeness(float(values.sum()), float(end_logit - begin_logit))


async def _average_gradient(subject: Subject, path: Path) -> NDArray[np.float64]:
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
