"""Latent integrated gradients: the path goes through the generator, along the pathology latents.

Dravid et al., medXGAN: Visual Explanations for Medical Classifiers through a Generative Latent Space, CVPR Workshop
2022. Every image of the path is one that the generator could have drawn of this patient.
"""

import numpy as np

from medxgan.server.engine.port import FloatArray
from medxgan.server.explainers.explainer import Attribution, Completeness, Subject, attribution
from medxgan.server.explainers.path_integral import average_gradient


async def latent_integrated_gradients(subject: Subject) -> Attribution:
    """The gradient averaged over G(z1, a z2), a in [0, 1], times G(z1, z2) - G(z1, 0), and how well it adds up."""
    inversion, networks = subject.inversion, subject.networks
    begin, way = inversion.negative_z, inversion.z - inversion.negative_z

    async def path(places: FloatArray) -> FloatArray:
        return await networks.generate(begin + places[:, np.newaxis] * way)

    difference = inversion.reconstruction - inversion.negative_realization
    values = await average_gradient(subject, path) * difference
    ends = np.stack([inversion.reconstruction, inversion.negative_realization])[:, np.newaxis]
    end_logit, begin_logit = await networks.logits(ends, subject.settings.target)
    return attribution(values[0], Completeness(float(values.sum()), float(end_logit - begin_logit)))
