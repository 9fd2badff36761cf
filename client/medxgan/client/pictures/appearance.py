"""What each map is called, and how it is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medxgan.client.geometry import FloatArray
from medxgan.client.pictures.sheet import Picture, largest_magnitude
from medxgan.client.results import Explanation
from medxgan.client.vocabulary import MapKind, Unrecognised

GREY_LEVEL = 2 / 255
"""One of 256 grey levels in [-1, 1]: a map whose largest value is less than this is not drawn as if it were strong."""

PICTURES = (
    MapKind.ORIGINAL,
    MapKind.RECONSTRUCTION,
    MapKind.NEGATIVE_REALIZATION,
    MapKind.APPLIED_NEGATIVE,
    MapKind.POSITIVE_REALIZATION,
    MapKind.COLORIZED,
)
"""The maps that are pictures of the patient; the others are drawn in colours with a scale."""


@dataclass(frozen=True)
class Appearance:
    """How a map is shown.

    Attributes:
        name: for headings.
        unit: of its values.
        reading: what the map says, a sentence; empty where it is not known.
        signed: whether values fall on both sides of zero: red above, blue below; else from dark to bright.
        inverts: whether it comes from the inversion, so that the verdict is about it.
        short_name: for the heading of a small picture; empty where `name` fits.
        least: the magnitude that its scale goes up to at least.
    """

    name: str
    unit: str
    reading: str
    signed: bool = True
    inverts: bool = False
    short_name: str = ""
    least: float = 0.0


APPEARANCES: Mapping[MapKind, Appearance] = {
    MapKind.DIFFERENCE: Appearance(
        "Difference",
        "unit of x",
        "Reconstruction minus negative realization: red where pathology adds intensity, blue where it takes away.",
        inverts=True,
        least=GREY_LEVEL,
    ),
    MapKind.RESIDUAL: Appearance(
        "Residual",
        "unit of x, squared",
        "Where the image itself differs from the negative realization as the difference does.",
        inverts=True,
        least=GREY_LEVEL**2,
    ),
    MapKind.EVIDENCE: Appearance(
        "Evidence",
        "unit of x, squared \N{MULTIPLICATION SIGN} logit",
        "The residual where integrated gradients say that the score rests on it.",
        inverts=True,
    ),
    MapKind.UNCERTAINTY: Appearance(
        "Uncertainty",
        "standard deviation",
        "How much the difference depends on the start of the inversion.",
        signed=False,
        inverts=True,
        least=GREY_LEVEL,
    ),
    MapKind.GRADIENT: Appearance(
        "Gradient",
        "logit per unit of x",
        "How fast the score changes with each pixel: red where brightening raises it, blue where it lowers it.",
    ),
    MapKind.GUIDED_BACKPROPAGATION: Appearance(
        "Guided backpropagation",
        "logit per unit of x",
        "The gradient without the signals that a ReLU would take away: it shows edges, and depends little on the "
        "classifier's weights.",
    ),
    MapKind.GRAD_CAM: Appearance(
        "Grad-CAM",
        "weighted activation",
        "Where the last convolution holds evidence for the target; as coarse as that layer, and blind to evidence "
        "against it.",
        signed=False,
    ),
    MapKind.GUIDED_GRAD_CAM: Appearance(
        "Guided Grad-CAM",
        "gradient \N{MULTIPLICATION SIGN} Grad-CAM",
        "Guided backpropagation where Grad-CAM sees evidence; it shares the weaknesses of both.",
    ),
    MapKind.INTEGRATED_GRADIENTS: Appearance(
        "Integrated gradients",
        "logit",
        "How much each pixel adds to the score on the way from a uniform picture to this one.",
    ),
    MapKind.LATENT_INTEGRATED_GRADIENTS: Appearance(
        "Latent integrated gradients",
        "logit",
        "How much each pixel adds to the score on the way from the negative realization to the reconstruction.",
        inverts=True,
        short_name="Latent int. gradients",
    ),
    MapKind.OCCLUSION: Appearance(
        "Occlusion",
        "logit",
        "How much the score falls when a window over the pixel is blanked; no gradient is used.",
    ),
}
"""One line for each map that is no picture of the patient; a test proves it complete."""


def appearance(kind: MapKind | Unrecognised) -> Appearance:
    """How a map is shown; one that is unrecognised is drawn with its values on both sides of zero."""
    return APPEARANCES[kind] if isinstance(kind, MapKind) else Appearance(kind.value.capitalize(), "", "")


def map_picture(explanation: Explanation, kind: MapKind | Unrecognised, caption: str) -> Picture:
    """A map in colour with its scale: symmetric about zero, or from zero up."""
    shown = appearance(kind)
    draw = Picture.signed if shown.signed else Picture.unsigned
    return draw(explanation[kind], shown.short_name or shown.name, caption, shown.unit, least=shown.least)


def overlay(explanation: Explanation, kind: MapKind | Unrecognised) -> FloatArray:
    """[S, S, 3] in [0, 1]: the image in grey, drawn towards red above zero and blue below, by magnitude."""
    over = layer(explanation, kind)
    grey = (np.clip(explanation.original, -1.0, 1.0)[..., np.newaxis] + 1.0) / 2.0
    tint, weight = over[..., :3], over[..., 3:]
    drawn: FloatArray = (1.0 - weight) * grey + weight * tint
    return drawn


def layer(explanation: Explanation, kind: MapKind | Unrecognised) -> FloatArray:
    """[S, S, 4] in [0, 1]: what `overlay` lays over the image, red or blue, opaque by magnitude."""
    values = explanation[kind]
    strength = values / max(appearance(kind).least, largest_magnitude(values))
    red, blue = np.array([0.84, 0.15, 0.16]), np.array([0.12, 0.42, 0.78])
    tint = np.where(strength[..., np.newaxis] > 0, red, blue)
    return np.concatenate([tint, np.abs(strength)[..., np.newaxis]], axis=2, dtype=np.float32)
