"""Grey levels of any number type as the float32 that a film holds."""

import numpy as np
from numpy.typing import NDArray

SHIFTED_NOTE = "grey levels were shifted and scaled, since single precision does not resolve them as they are"

_LEAST_SPAN = 1e-2
"""Preprocessing takes a picture whose levels span less than 1e-6 for one of a single level."""
_LARGEST_LEVEL = 1e15
"""Preprocessing adds up the levels of a whole picture in single precision."""
_LEAST_STEPS = 2**14
"""Levels that single precision must tell apart between the darkest and the brightest."""
_NEW_SPAN = 65_535.0
_FEW = 0.005
"""Share of the darkest and of the brightest levels that do without: as much as a model's window leaves out."""


def held_in_single_precision(darkest: float, brightest: float) -> bool:
    """Whether float32 tells apart what lies between two finite levels."""
    return _resolves(brightest - darkest, max(abs(darkest), abs(brightest)))


def _resolves(span: float, largest: float) -> bool:
    if largest >= _LARGEST_LEVEL:
        return False
    return span == 0 or (span >= _LEAST_SPAN and span >= _LEAST_STEPS * float(np.spacing(np.float32(largest))))


def single_precision(values: NDArray[np.generic]) -> tuple[NDArray[np.generic], bool]:
    """Grey levels that single precision holds, and whether they had to be shifted and scaled for it.

    They keep their values wherever float32 holds them well. Where it does not (a small contrast on a large offset, or
    levels of 1e-9, as of a diffusion coefficient in m2/s) they are brought to 0 to 65535: x does not depend on the
    unit of the levels, since it is taken between two percentiles.

    Args:
        values: of any number type and shape.

    Returns:
        Whole numbers of at most 16 bits as they are, since a film of them is half as large or less; else float32.

    Raises:
        ValueError: a value is NaN or infinite, or a few are so far from all others that these would become one level.
    """
    if values.dtype.kind in "iub" and values.dtype.itemsize <= 2:
        return values, False
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("expected finite grey levels, got NaN or infinity")
    # Python's numbers: neither the difference of two integers nor that of two large floats overflows.
    darkest, brightest = (low.item(), high.item())
    span = float(brightest) - float(darkest) if values.dtype.kind == "f" else float(brightest - darkest)
    largest = max(abs(float(darkest)), abs(float(brightest)))
    if _resolves(span, largest):
        return values.astype(np.float32, copy=False), False
    if span == 0 or not np.isfinite(span):
        scaled = values.astype(np.float64) / largest * _NEW_SPAN  # to [-1, 1] first, where no span overflows
    else:
        # Whole numbers are shifted as such: a double does not hold every 64-bit one.
        above = values - low if values.dtype.kind == "f" else (values.astype(np.uint64) - np.uint64(darkest % 2**64))
        scaled = above.astype(np.float64) * (_NEW_SPAN / span)
    _check_most_are_told_apart(values, scaled)
    return scaled.astype(np.float32), True


def _check_most_are_told_apart(values: NDArray[np.generic], scaled: NDArray[np.float64]) -> None:
    """Refuse a picture that one level has ruined, such as one of -3e38 for "no data"."""
    tail = int(_FEW * (values.size - 1))
    places = (tail, values.size - 1 - tail)
    dark, bright = np.argpartition(values, places, axis=None)[list(places)]
    darkest, brightest = float(scaled.flat[dark]), float(scaled.flat[bright])
    are_apart = brightest > darkest and _resolves(brightest - darkest, max(abs(darkest), abs(brightest)))
    if values.flat[bright] > values.flat[dark] and not are_apart:
        raise ValueError("expected grey levels of which none is so far from all others that these become one")
