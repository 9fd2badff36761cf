"""The maps of an explanation as PNG files, pixel for pixel: S x S, 8 bits, not enlarged."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medxgan.client.results import Attribution, AttributionMethod, Explanation, FloatArray


def write_pictures(explanation: Explanation, folder: Path) -> None:
    """Write the five maps of an explanation into a folder that exists.

    `original.png`, `reconstruction.png` and `negative.png` put [-1, 1] on 0 to 255; `difference.png` puts [-2, 2]
    there, so that 128 is no difference; `colorized.png` is RGB.
    """
    _write(folder / "original.png", explanation.original, -1.0, 1.0)
    _write(folder / "reconstruction.png", explanation.reconstruction, -1.0, 1.0)
    _write(folder / "negative.png", explanation.negative_realization, -1.0, 1.0)
    _write(folder / "difference.png", explanation.difference, -2.0, 2.0)
    _write(folder / "colorized.png", explanation.colorized, 0.0, 1.0)


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
