"""The maps of an explanation, and the pictures of a trajectory."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np

from medxgan.client.errors import MissingExtraError
from medxgan.client.geometry import FloatArray
from medxgan.client.vocabulary import MapKind, Unrecognised


@dataclass(frozen=True)
class Interval:
    """A closed interval of numbers."""

    minimum: float
    maximum: float


@dataclass(frozen=True)
class Score:
    """What the classifier says of one picture.

    Attributes:
        probability: probability (0 to 1) of the positive class.
        positive: the decision, as the server made it.
    """

    probability: float
    positive: bool


@dataclass(frozen=True)
class Completeness:
    """Whether an integral of gradients adds up, in units of the logit (Sundararajan et al. 2017).

    Attributes:
        attributed: sum of the map's values.
        change: change of the logit from the path's begin to its end.
        error: |attributed - change|. 0 for an exact integral along a straight path; the path of latent integrated
            gradients bends, so that its error is not 0 even with many steps.
    """

    attributed: float
    change: float
    error: float


@dataclass(frozen=True, eq=False)
class Map:
    """One map, in the form that was asked for.

    Attributes:
        kind: which map; `MapKind` states shapes and units.
        values: float32 [S, S], or [S, S, 3] in colour; None where it came as PNG, or in a form that is unrecognised.
        png: the PNG file; None where it came as array.
        range: what 0 and 255 of a PNG stand for: the kind's range, or where it has none the map's largest magnitude to
            both sides of 0.
        completeness: how far an integral of gradients adds up; None for other maps.
        elapsed_ms: milliseconds that it took, an inversion that maps share apart.
    """

    kind: MapKind | Unrecognised
    values: FloatArray | None
    png: bytes | None
    range: Interval
    completeness: Completeness | None
    elapsed_ms: float

    def array(self) -> FloatArray:
        """The map as float32 array; a PNG is decoded, to half of one of its 255 levels.

        Raises:
            LookupError: it came in a form that this client does not recognise.
            MissingExtraError: it is a PNG, and Pillow is not installed.
        """
        return _array(f"the map {self.kind.value!r}", self.values, self.png, self.range)


@dataclass(frozen=True, eq=False)
class TrajectoryFrame:
    """One picture on the way from the negative realization to the positive one: G(z1, a * z2).

    Attributes:
        position: a: 0 is the negative realization, 1 the positive one.
        score: what the classifier says of it.
        values: [S, S] in [-1, 1]; None where it came as PNG, or in a form that is unrecognised.
        png: the PNG file; None where it came as array.
    """

    position: float
    score: Score
    values: FloatArray | None
    png: bytes | None

    def array(self) -> FloatArray:
        """The picture as float32 array [S, S] in [-1, 1]; otherwise as `Map.array`."""
        return _array("the picture of the trajectory", self.values, self.png, Interval(-1.0, 1.0))


def _array(name: str, values: FloatArray | None, png: bytes | None, scale: Interval) -> FloatArray:
    if values is not None:
        return values
    if png is None:
        raise LookupError(f"{name} came in a form that this client does not recognise")
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading a map from its PNG", "cli", error) from error
    with Image.open(BytesIO(png)) as image:
        levels = np.asarray(image, np.float32)
    return levels * np.float32((scale.maximum - scale.minimum) / 255) + np.float32(scale.minimum)
