"""Grad-CAM: where the last convolution sees what raises the logit.

Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV 2017.
"""

import numpy as np
from PIL import Image

from medxgan.server.engine.port import FloatArray
from medxgan.server.explainers.explainer import Attribution, Subject, attribution


async def grad_cam(subject: Subject) -> Attribution:
    """The class activation map, at the size of x."""
    return attribution(activation_map_of(subject))


def activation_map_of(subject: Subject) -> FloatArray:
    """The class activation map [S, S] of the subject's x."""
    outputs = subject.outputs
    return class_activation_map(outputs["activations"][0], outputs["activation_gradients"][0], subject.x.shape[-1])


def class_activation_map(activations: FloatArray, gradients: FloatArray, side: int) -> FloatArray:
    """Weight activations by their mean gradients and cut the sum at zero (equations 1 and 2).

    Args:
        activations: [K, h, w] of the last convolution.
        gradients: [K, h, w] of the logit with respect to them.
        side: S, the side of x in pixels, at least h and w.

    Returns:
        [S, S], not negative, resized bilinearly.
    """
    weights = gradients.mean(axis=(1, 2))
    evidence = np.maximum(np.tensordot(weights, activations, axes=1), 0).astype(np.float32)
    return np.asarray(Image.fromarray(evidence).resize((side, side), Image.Resampling.BILINEAR), np.float32)
