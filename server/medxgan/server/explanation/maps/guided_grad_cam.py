"""Guided Grad-CAM: the fine detail of guided backpropagation where Grad-CAM finds the class.

Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV 2017,
section 3.2.
"""

from medxgan.server.explainers.explainer import Attribution, Subject, attribution
from medxgan.server.explainers.grad_cam import activation_map_of


async def guided_grad_cam(subject: Subject) -> Attribution:
    """The guided gradient times the class activation map, pixel by pixel."""
    return attribution(subject.outputs["guided_gradient"][0, 0] * activation_map_of(subject))
