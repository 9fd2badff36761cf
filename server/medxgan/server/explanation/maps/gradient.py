"""The gradient of the logit: how it answers a small change of each pixel.

Simonyan, Vedaldi and Zisserman, Deep Inside Convolutional Networks, ICLR Workshop 2014.
"""

from medxgan.server.explainers.explainer import Attribution, Subject, attribution


async def gradient(subject: Subject) -> Attribution:
    """The derivative of the logit by each pixel, with its sign."""
    return attribution(subject.outputs["gradient"])
