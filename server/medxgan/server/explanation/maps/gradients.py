"""The maps of one pass over the image: the gradient of the logit and what is made of it."""

import numpy as np
from PIL import Image

from medxgan.server.engine.port import FloatArray
from medxgan.server.explanation.maps.subject import Made, Subject


async def gradient(subject: Subject) -> Made:
    """The derivative of the logit by each pixel, with its sign.

    Simonyan, Vedaldi and Zisserman, Deep Inside Convolutional Networks, ICLR Workshop 2014.
    """
    return subject.outputs["gradient"]


async def guided_backpropagation(subject: Subject) -> Made:
    """The gradient with negative signals cut at every ReLU on the way back, which export traced.

    Springenberg et al., Striving for Simplicity: The All Convolutional Net, ICLR Workshop 2015.
    """
    return subject.outputs["guided_gradient"]


async def grad_cam(subject: Subject) -> Made:
    """Where the last convolution sees what raises the logit, at the size of x.

    Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV 2017.
    """
    outputs = subject.outputs
    return class_activation_map(outputs["activations"][0], outputs["activation_gradients"][0], subject.x.shape[-1])


async def guided_grad_cam(subject: Subject) -> Made:
    """The fine detail of guided backpropagation where Grad-CAM finds the class: their product (section 3.2 there)."""
    outputs = subject.outputs
    where = class_activation_map(outputs["activations"][0], outputs["activation_gradients"][0], subject.x.shape[-1])
    guided: FloatArray = outputs["guided_gradient"][0, 0] * where
    return guided


def class_activation_map(activations: FloatArray, gradients: FloatArray, side: int) -> FloatArray:
    """Weight activations by their mean gradients and cut the sum at zero (equations 1 and 2 of Grad-CAM).

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
