"""Guided backpropagation: the gradient with negative signals cut at every ReLU on the way back.

Springenberg et al., Striving for Simplicity: The All Convolutional Net, ICLR Workshop 2015.
"""

from medxgan.server.explainers.explainer import Attribution, Subject, attribution


async def guided_backpropagation(subject: Subject) -> Attribution:
    """The guided gradient, which export traced with another gradient of ReLU."""
    return attribution(subject.outputs["guided_gradient"])
