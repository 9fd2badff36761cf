"""What the classifier's score depends on, from one pass of the attribution graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from medxgan.server.engine.port import FloatArray
from medxgan.v1 import explanation_pb2
from medxgan.v1.explanation_pb2 import AttributionMethod


@dataclass(frozen=True)
class Attributions:
    """The attributions of one image.

    Attributes:
        original: [S, S] in [-1, 1], x: the image as the networks see it, which the maps lie over.
        logit: of the positive class.
        maps: [S, S] for each method asked for, in that order; in units of the logit per unit of x.
        notes: what was done to the image on the way in, a sentence each.
    """

    original: FloatArray
    logit: float
    maps: tuple[FloatArray, ...]
    notes: tuple[str, ...]


def attribution_maps(outputs: Mapping[str, FloatArray], methods: Sequence[AttributionMethod]) -> tuple[FloatArray, ...]:
    """Draw each method's map from the outputs of the attribution graph, a batch of one."""
    return tuple(_attribution_map(outputs, method) for method in methods)


def _attribution_map(outputs: Mapping[str, FloatArray], method: AttributionMethod) -> FloatArray:
    match method:
        case explanation_pb2.ATTRIBUTION_METHOD_GRADIENT:
            return outputs["gradient"][0, 0, :, :]
        case explanation_pb2.ATTRIBUTION_METHOD_GUIDED_BACKPROPAGATION:
            return outputs["guided_gradient"][0, 0, :, :]
        case explanation_pb2.ATTRIBUTION_METHOD_GRAD_CAM:
            side = outputs["gradient"].shape[-1]
            return grad_cam(outputs["activations"][0], outputs["activation_gradients"][0], side)
        case _:
            raise ValueError(f"no attribution method {method}")


def grad_cam(activations: FloatArray, gradients: FloatArray, side: int) -> FloatArray:
    """Gradient-weighted class activation mapping (Selvaraju et al., Grad-CAM, ICCV 2017).

    Args:
        activations: [K, h, w] of the last convolution.
        gradients: [K, h, w] of the logit with respect to them.
        side: S, the side of x in pixels.

    Returns:
        [S, S], not negative: the sum of the activations weighted by their mean gradients, cut at zero, resized
        bilinearly.
    """
    weights = gradients.mean(axis=(1, 2))
    evidence = np.maximum(np.tensordot(weights, activations, axes=1), 0).astype(np.float32)
    return np.asarray(Image.fromarray(evidence).resize((side, side), Image.Resampling.BILINEAR), np.float32)
