"""The film as a viewer shows it: modality LUT, window or VOI LUT, and MONOCHROME1 turned to bright on dark."""

from dataclasses import dataclass

import numpy as np
from highdicom.pixels import apply_voi_window
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from medxgan.gateway.results.errors import UnusableFilmError
from medxgan.gateway.results.stored_values import stored_values

FloatArray = NDArray[np.float32]

WHITE = 255.0

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True)
class Window:
    """Centre and width of a window, in modality units, and how it is mapped, as VOI LUT Function has it."""

    center: float
    width: float
    function: str


@dataclass(frozen=True, eq=False)
class DisplayedFilm:
    """A film as a viewer shows it.

    Attributes:
        levels: grey levels [rows, columns] in [0, 255], in the layout that is stored.
        window: that they were made by; None where the film has a VOI LUT.
    """

    levels: FloatArray
    window: Window | None


def displayed(film: Dataset) -> DisplayedFilm:
    """Show a film as a viewer does.

    Of several windows the first is taken. A VOI LUT goes before a window. Without either, the range of the film's
    pixels is the window, padding left out; padding is black.

    Raises:
        UnusableFilmError: it is in colour or has several frames, or its pixels can't be decoded here.
    """
    stored = _stored_values(film)
    padding = _padding(film, stored)
    values = apply_modality_lut(stored, film)
    window = None if film.get("VOILUTSequence") else _window(film, values, padding)
    if window is None:
        levels = _through_lut(values, film)
    else:
        levels = apply_voi_window(values, window.center, window.width, window.function, (0.0, WHITE), np.float64)
    if film.PhotometricInterpretation == "MONOCHROME1":
        levels = WHITE - levels
    levels[padding] = 0.0
    return DisplayedFilm(levels.astype(np.float32), window)


def _stored_values(film: Dataset) -> NDArray[np.integer]:
    if film.get("SamplesPerPixel", 1) != 1 or film.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnusableFilmError("PhotometricInterpretation", "MONOCHROME1 or MONOCHROME2")
    if int(film.get("NumberOfFrames") or 1) != 1:
        raise UnusableFilmError("NumberOfFrames", "1")
    try:
        stored = stored_values(film)
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


def _window(film: Dataset, values: NDArray[np.generic], padding: NDArray[np.bool_]) -> Window:
    """The window that the film states, or the range of its pixels."""
    center, width = _first(film.get("WindowCenter")), _first(film.get("WindowWidth"))
    function = film.get("VOILUTFunction")
    # A width of 1 is a step function: LINEAR divides by what it exceeds 1 by.
    if center is not None and width is not None and width > 1:
        return Window(center, width, function if function in _FUNCTIONS else "LINEAR")
    picture = values[~padding]
    low, high = (float(picture.min()), float(picture.max())) if picture.size else (0.0, 1.0)
    return Window((low + high + 1) / 2, max(high - low, 1.0) + 1, "LINEAR")


def _first(value: object) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, (str, float, int)):
        return float(value)
    values = list(value)  # type: ignore[call-overload]
    return float(values[0]) if values else None
