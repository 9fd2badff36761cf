"""Integrated gradients: the gradient averaged from a uniform baseline to x, times the way.

Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017, equation 1; the integral by
Gauss-Legendre quadrature, as Captum does by default.
"""

import numpy as np

from medxgan.server.engine.port import FloatArray
from medxgan.server.explainers.explainer import Attribution, Completeness, Subject, attribution
from medxgan.server.explainers.path_integral import average_gradient


async def integrated_gradients(subject: Subject) -> Attribution:
    """(x - b) times the average over a in [0, 1] of d logit / d x at b + a (x - b), and how well it adds up."""
    baseline = np.full_like(subject.x, subject.settings.baseline)
    way = subject.x - baseline

    async def path(places: FloatArray) -> FloatArray:
        return baseline + places[:, np.newaxis, np.newaxis, np.newaxis] * way

    values = await average_gradient(subject, path) * way
    (begin,) = await subject.networks.logits(baseline, subject.settings.target)
    return attribution(values, Completeness(float(values.sum()), subject.logit - float(begin)))
