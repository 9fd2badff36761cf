"""The film as a viewer shows it: modality LUT, window or VOI LUT, and MONOCHROME1 turned to bright on dark."""

import numpy as np
from highdicom.pixels import apply_voi_window
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from medxgan.gateway.results.errors import UnusableFilmError

FloatArray = NDArray[np.float32]

WHITE = 255.0


def displayed_levels(film: Dataset) -> FloatArray:
    """The grey levels that a viewer shows, [rows, columns] in [0, 255], in the layout that is stored.

    Of several windows the first is taken, as viewers do. A VOI LUT goes before a window. Without either, the range of
    the film's pixels is the window, padding left out; padding is black.

    Raises:
        UnusableFilmError: it is in colour or has several frames, or its pixels can't be decoded here.
    """
    stored = _stored_values(film)
    padding = _padding(film, stored)
    values = apply_modality_lut(stored, film)
    if film.get("VOILUTSequence"):
        levels = _through_lut(values, film)
    else:
        center, width = _window(film, values, padding)
        function = film.get("VOILUTFunction") or "LINEAR"
        levels = apply_voi_window(values, center, width, function, (0.0, WHITE), np.float64)
    if film.PhotometricInterpretation == "MONOCHROME1":
        levels = WHITE - levels
    levels[padding] = 0.0
    return levels.astype(np.float32)


def _stored_values(film: Dataset) -> NDArray[np.integer]:
    if film.get("SamplesPerPixel", 1) != 1 or film.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnusableFilmError("PhotometricInterpretation", "MONOCHROME1 or MONOCHROME2")
    if int(film.get("NumberOfFrames") or 1) != 1:
        raise UnusableFilmError("NumberOfFrames", "1")
    try:
        stored = film.pixel_array
    except (NotImplementedError, RuntimeError, ValueError, AttributeError) as error:
        # What pydicom raises where a decoder is missing or fails, and where the pixels don't fit their description.
        raise UnusableFilmError("PixelData", "pixels that the installed decoders read") from error
    return stored.reshape(film.Rows, film.Columns)


def _padding(film: Dataset, stored: NDArray[np.integer]) -> NDArray[np.bool_]:
    first = film.get("PixelPaddingValue")
    if first is None:
        return np.zeros(stored.shape, np.bool_)
    limit = film.get("PixelPaddingRangeLimit")
    low, high = sorted((int(first), int(first if limit is None else limit)))
    padding: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return padding


def _through_lut(values: NDArray[np.generic], film: Dataset) -> NDArray[np.float64]:
    bits = int(film.VOILUTSequence[0].LUTDescriptor[2])
    through = apply_voi(np.rint(values).astype(np.int64), film)
    levels: NDArray[np.float64] = through.astype(np.float64) * (WHITE / (2**bits - 1))
    return levels


def _window(film: Dataset, values: NDArray[np.generic], padding: NDArray[np.bool_]) -> tuple[float, float]:
    """Centre and width: as the film states them, or the range of its pixels."""
    center, width = _first(film.get("WindowCenter")), _first(film.get("WindowWidth"))
    # A width of 1 is a step function: LINEAR divides by what it exceeds 1 by.
    if center is not None and width is not None and width > 1:
        return center, width
    picture = values[~padding]
    low, high = (float(picture.min()), float(picture.max())) if picture.size else (0.0, 1.0)
    return (low + high + 1) / 2, max(high - low, 1.0) + 1


def _first(value: object) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, (str, float, int)):
        return float(value)
    values = list(value)  # type: ignore[call-overload]
    return float(values[0]) if values else None
