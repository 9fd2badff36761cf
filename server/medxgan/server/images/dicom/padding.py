"""Pixel padding (DICOM PS3.3, C.7.5.1.1.2): pixels around the picture that are none of it."""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medxgan.server.images.dicom.errors import refused
from medxgan.server.images.dicom.header import PixelModule, number
from medxgan.server.images.dicom.stored import StoredFrame

PADDING_NOTE = "padding pixels are dark and have no part in the contrast"

_DARK = 0.005
"""Share of the picture that is darker than padding."""
_PREFIXES = {"PixelData": "", "FloatPixelData": "Float", "DoubleFloatPixelData": "DoubleFloat"}


def padding_mask(dataset: Dataset, module: PixelModule, stored: StoredFrame) -> NDArray[np.bool_] | None:
    """[H, W] True where a pixel is padding; None where none is.

    Raises:
        ImageError: if a value of padding is no number.
    """
    prefix = _PREFIXES[module.data]
    value = number(dataset, f"{prefix}PixelPaddingValue")
    if value is None or stored.values.ndim == 3:
        return None
    limit = number(dataset, f"{prefix}PixelPaddingRangeLimit")
    ends = (value, value if limit is None else limit)
    mask = _between(stored.values, ends) if module.floating else _whole_between(ends, module, stored)
    return mask if mask.any() else None


def with_dark_padding(values: NDArray[np.generic], padding: NDArray[np.bool_], inverted: bool) -> NDArray[np.generic]:
    """Grey levels whose padding is dark, so that it has little part in the contrast; none once the film is reduced.

    Padding takes the level below which the darkest half percent of the picture lies, and not that of its darkest
    pixel: preprocessing takes its window from percentiles, and pixels at the very end would move the lower one there.

    Args:
        values: [H, W] grey levels.
        padding: [H, W] True where a pixel is padding.
        inverted: whether a high level means dark.

    Raises:
        ImageError: there is nothing but padding.
    """
    others = values[~padding]
    if not others.size:
        raise refused("PixelPaddingValue", "expected pixels that are no padding")
    darker = int(_DARK * (others.size - 1))
    place = others.size - 1 - darker if inverted else darker
    return np.where(padding, np.partition(others, place)[place], values)


def _between(values: NDArray[np.generic], ends: tuple[float, float]) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.greater_equal(values, min(ends)) & np.less_equal(values, max(ends))
    return mask


def _whole_between(ends: tuple[float, float], module: PixelModule, stored: StoredFrame) -> NDArray[np.bool_]:
    """Compare by stored value; by whole cells where the padding does not fit into the bits stored.

    Writers disagree on the sign of the padding value: what counts is its bits.
    """
    cells = tuple(_wrapped(int(end), module.bits_allocated, module.signed) for end in ends)
    values = tuple(_as_value(cell, module.bits_stored, module.signed) for cell in cells)
    if values[0] is not None and values[1] is not None:
        return _between(stored.values, (values[0], values[1]))
    return _between(stored.values if stored.cells is None else stored.cells, (cells[0], cells[1]))


def _as_value(cell: int, bits: int, signed: bool) -> int | None:
    """The stored value that a cell of padding stands for; None where the bits stored can't hold it."""
    wrapped = _wrapped(cell, bits, signed)
    return wrapped if wrapped == cell or (signed and 0 <= cell < 1 << bits) else None


def _wrapped(end: int, bits: int, signed: bool) -> int:
    """The value of the lowest `bits` of a whole number."""
    low = end & ((1 << bits) - 1)
    return low - (1 << bits) if signed and low >> (bits - 1) else low
