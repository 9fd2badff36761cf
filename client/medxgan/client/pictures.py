"""The maps of an explanation as PNG files, pixel for pixel: S x S, 8 bits, not enlarged."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medxgan.client.results import Attribution, AttributionMethod, Explanation, FloatArray, MapKind

FILES: Mapping[MapKind, str] = {
    MapKind.ORIGINAL: "original.png",
    MapKind.RECONSTRUCTION: "reconstruction.png",
    MapKind.NEGATIVE_REALIZATION: "negative.png",
    MapKind.DIFFERENCE: "difference.png",
    MapKind.COLORIZED: "colorized.png",
    MapKind.APPLIED_NEGATIVE: "applied-negative.png",
    MapKind.RESIDUAL: "residual.png",
    MapKind.UNCERTAINTY: "uncertainty.png",
    MapKind.POSITIVE_REALIZATION: "positive.png",
}
"""The file that each map is written to; a test proves it complete."""


def write_pictures(explanation: Explanation, folder: Path) -> None:
    """Write the maps that an explanation holds into a folder that exists.

    Grey images put [-1, 1] on 0 to 255; `difference.png` puts [-2, 2] there, so that 128 is no difference;
    `colorized.png` is RGB. The values of the residual and the uncertainty are mostly small: `residual.png` puts [-m, m]
    there and `uncertainty.png` [0, m], m being the largest magnitude, which `explanation.json` states. There is no
    `positive.png` of an image that the classifier calls positive: it would be the reconstruction.
    """
    for kind, values in explanation.maps.items():
        if kind is MapKind.POSITIVE_REALIZATION and explanation.scores.image_is_positive:
            continue
        _write(folder / FILES[kind], values, *_range(kind, values))


def _range(kind: MapKind, values: FloatArray) -> tuple[float, float]:
    """The levels that a map's file puts on 0 and 255."""
    match kind:
        case MapKind.DIFFERENCE:
            return -2.0, 2.0
        case MapKind.COLORIZED:
            return 0.0, 1.0
        case MapKind.RESIDUAL:
            return -largest_magnitude(values), largest_magnitude(values)
        case MapKind.UNCERTAINTY:
            return 0.0, largest_magnitude(values)
        case _:
            return -1.0, 1.0


def write_attribution_pictures(attribution: Attribution, files: Mapping[AttributionMethod, str], folder: Path) -> None:
    """Write `original.png` and, for each method of `files`, the file named there, into a folder that exists.

    A map puts [-m, m] on 0 to 255, m being its largest magnitude, which `explanation.json` states.
    """
    _write(folder / "original.png", attribution.image, -1.0, 1.0)
    for method, file in files.items():
        values = attribution.values[method]
        magnitude = largest_magnitude(values)
        _write(folder / file, values, -magnitude, magnitude)


def largest_magnitude(values: FloatArray) -> float:
    """The largest magnitude in `values`, or 1 where all are zero: half the width of a scale that shows them all."""
    return float(np.abs(values).max()) or 1.0


def _write(path: Path, values: FloatArray, low: float, high: float) -> None:
    levels: NDArray[np.uint8] = np.rint((np.clip(values, low, high) - low) * (255.0 / (high - low))).astype(np.uint8)
    Image.fromarray(levels).save(path)
