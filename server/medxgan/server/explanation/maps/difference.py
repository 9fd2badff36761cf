"""The difference map: what the pathology adds to the reconstruction.

Dravid et al., medXGAN: Visual Explanations for Medical Classifiers through a Generative Latent Space, CVPR Workshop
2022.
"""

from medxgan.server.explainers.explainer import Attribution, Subject, attribution
from medxgan.server.maps import difference


async def difference_map(subject: Subject) -> Attribution:
    """G(z1, z2) - G(z1, 0), as Explain gives it."""
    inversion = subject.inversion
    return attribution(difference.difference_map(inversion.reconstruction, inversion.negative_realization))
