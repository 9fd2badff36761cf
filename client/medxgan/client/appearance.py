"""What each method of attribution is called, and how its map is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medxgan.client.pictures import largest_magnitude
from medxgan.client.results import Attribution, AttributionMethod, FloatArray
from medxgan.client.sheet import Picture


@dataclass(frozen=True)
class Appearance:
    """How the map of a method is shown.

    Attributes:
        name: for headings.
        unit: of its values.
        reading: what the map says, a sentence.
        signed: whether values fall on both sides of zero: red above, blue below; else from dark to bright.
        short_name: for the heading of a small picture; empty where `name` fits.
    """

    name: str
    unit: str
    reading: str
    signed: bool = True
    short_name: str = ""


APPEARANCES: Mapping[AttributionMethod, Appearance] = {
    AttributionMethod.GRADIENT: Appearance(
        "Gradient",
        "logit per unit of x",
        "How fast the score changes with each pixel: red where brightening raises it, blue where it lowers it.",
    ),
    AttributionMethod.GUIDED_BACKPROPAGATION: Appearance(
        "Guided backpropagation",
        "logit per unit of x",
        "The gradient without the signals that a ReLU would take away: it shows edges, and depends little on the "
        "classifier's weights.",
    ),
    AttributionMethod.GRAD_CAM: Appearance(
        "Grad-CAM",
        "weighted activation",
        "Where the last convolution holds evidence for the target; as coarse as that layer, and blind to evidence "
        "against it.",
        signed=False,
    ),
    AttributionMethod.INTEGRATED_GRADIENTS: Appearance(
        "Integrated gradients",
        "logit",
        "How much each pixel adds to the score on the way from a uniform picture to this one.",
    ),
    AttributionMethod.GUIDED_GRAD_CAM: Appearance(
        "Guided Grad-CAM",
        "gradient \N{MULTIPLICATION SIGN} Grad-CAM",
        "Guided backpropagation where Grad-CAM sees evidence; it shares the weaknesses of both.",
    ),
    AttributionMethod.OCCLUSION: Appearance(
        "Occlusion",
        "logit",
        "How much the score falls when a window over the pixel is blanked; no gradient is used.",
    ),
    AttributionMethod.LATENT_INTEGRATED_GRADIENTS: Appearance(
        "Latent integrated gradients",
        "logit",
        "How much each pixel adds to the score on the way from the negative realization to the reconstruction.",
        short_name="Latent int. gradients",
    ),
    AttributionMethod.DIFFERENCE_MAP: Appearance(
        "Difference map",
        "unit of x",
        "Reconstruction minus negative realization: red where pathology adds intensity, blue where it takes away.",
    ),
    AttributionMethod.RESIDUAL_MAP: Appearance(
        "Residual map",
        "unit of x, squared",
        "Where the image itself differs from the negative realization as the difference map does.",
    ),
    AttributionMethod.EVIDENCE_MAP: Appearance(
        "Evidence map",
        "unit of x, squared \N{MULTIPLICATION SIGN} logit",
        "The residual map where integrated gradients say that the score rests on it.",
    ),
}
"""One line for each method; a test proves it complete."""


def map_picture(attribution: Attribution, method: AttributionMethod, caption: str) -> Picture:
    """The map of a method in colour with its scale: symmetric about zero, or from zero up."""
    appearance = APPEARANCES[method]
    draw = Picture.signed if appearance.signed else Picture.unsigned
    return draw(attribution.values[method], appearance.short_name or appearance.name, caption, appearance.unit)


def overlay(attribution: Attribution, method: AttributionMethod) -> FloatArray:
    """[S, S, 3] in [0, 1]: the image in grey, drawn towards red above zero and blue below, by magnitude."""
    values = attribution.values[method]
    strength = values / largest_magnitude(values)
    grey = np.repeat((np.clip(attribution.image, -1.0, 1.0)[..., np.newaxis] + 1.0) / 2.0, 3, axis=2)
    weight = np.abs(strength)[..., np.newaxis]
    red, blue = np.array([0.84, 0.15, 0.16]), np.array([0.12, 0.42, 0.78])
    tint = np.where(strength[..., np.newaxis] > 0, red, blue)
    drawn: FloatArray = ((1.0 - weight) * grey + weight * tint).astype(np.float32)
    return drawn
