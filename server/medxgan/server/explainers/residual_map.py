"""The residual map: what the image itself has over its negative realization, where the generator agrees."""

from medxgan.server.explainers.explainer import Attribution, Subject, attribution
from medxgan.server.maps import residual


async def residual_map(subject: Subject) -> Attribution:
    """The residual map, as Explain gives it."""
    inversion = subject.inversion
    return attribution(residual.residual_map(subject.x[0, 0], inversion.reconstruction, inversion.negative_realization))
