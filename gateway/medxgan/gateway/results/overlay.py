"""A map in colour over the film: red above zero, blue below, the stronger the less of the film is left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medxgan.client import Explanation, MapKind

FloatArray = NDArray[np.float32]
ColourPicture = NDArray[np.uint8]

RED = np.array([224, 40, 36], np.float32)
BLUE = np.array([38, 104, 224], np.float32)
OPACITY = 0.75
"""Of the strongest value: the film stays visible below it."""
GREY_LEVEL = 2 / 255
"""One of 256 grey levels of x: a map that is weaker everywhere is not drawn as if it were strong."""


@dataclass(frozen=True, eq=False)
class MapOnFilm:
    """A map laid back on the film.

    Attributes:
        values: [rows, columns] float32; NaN where x does not cover the film.
        magnitude: the value, positive, that the colours end at.
    """

    values: FloatArray
    magnitude: float

    @classmethod
    def of(cls, explanation: Explanation, kind: MapKind) -> "MapOnFilm":
        """A map of an explanation, its colours ending at its largest magnitude, but at no less than a grey level.

        Raises:
            LookupError: the explanation does not have the map.
            GeometryError: it does not say where the map lies.
        """
        magnitude = max(float(np.abs(explanation[kind]).max()), GREY_LEVEL)
        return cls(explanation.on_film(kind), magnitude)

    @property
    def strength(self) -> FloatArray:
        """[rows, columns] in [-1, 1], 0 where x does not cover the film."""
        strength: FloatArray = np.clip(np.nan_to_num(self.values) / self.magnitude, -1.0, 1.0).astype(np.float32)
        return strength


def coloured(grey: FloatArray, strength: FloatArray) -> ColourPicture:
    """Draw grey levels [H, W] in [0, 255] towards red or blue by `strength` [H, W] in [-1, 1]: [H, W, 3] uint8."""
    weight = np.abs(strength) * np.float32(OPACITY)
    picture = np.empty((*grey.shape, 3), np.uint8)
    for channel in range(3):
        tint = np.where(strength > 0, RED[channel], BLUE[channel])
        picture[..., channel] = np.rint(grey + weight * (tint - grey))
    return picture
