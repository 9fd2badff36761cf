"""Pixel padding (DICOM PS3.3, C.7.5.1.1.2): pixels around the picture that are none of it, and are shown dark.

As the server has it: they take the level below which the darkest half percent of the others lies.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder

from medxgan.web.decoding.dicom_frame import number
from medxgan.web.errors import FilmError

_DARK = 0.005


def padding_of(dataset: Dataset, index: int, values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """[rows, columns] True where a pixel is padding; None where none is.

    Args:
        dataset: the object.
        index: the frame, from 0.
        values: [rows, columns] its stored values.

    Raises:
        FilmError: a value of padding is no number.
    """
    value, limit = number(dataset, "PixelPaddingValue"), number(dataset, "PixelPaddingRangeLimit")
    if value is None:
        return None
    allocated, stored, signed = dataset.BitsAllocated, dataset.BitsStored, values.dtype.kind == "i"
    # Writers disagree on the sign of these two: what counts is their bits.
    cells = [_wrapped(int(end), allocated, signed) for end in (value, value if limit is None else limit)]
    ends = [_as_value(cell, stored, signed) for cell in cells]
    if None in ends:
        # Padding that does not fit into the bits stored marks whole cells.
        ends, values = list(cells), _cells(dataset, index, values)
    low, high = sorted(end for end in ends if end is not None)
    padding = np.greater_equal(values, low) & np.less_equal(values, high)
    return padding if padding.any() else None


def with_dark_padding(levels: NDArray[Any], padding: NDArray[np.bool_], high_is_dark: bool) -> NDArray[Any]:
    """Levels whose padding is dark; raises FilmError where there is nothing but padding."""
    others = levels[~padding]
    if not others.size:
        raise FilmError("PixelPaddingValue: expected pixels that are no padding")
    darker = int(_DARK * (others.size - 1))
    place = others.size - 1 - darker if high_is_dark else darker
    others.partition(place)
    return np.where(padding, others[place], levels)


def _as_value(cell: int, bits: int, signed: bool) -> int | None:
    """The stored value that a cell of padding stands for; None where the bits stored can't hold it."""
    wrapped = _wrapped(cell, bits, signed)
    return wrapped if wrapped == cell or (signed and 0 <= cell < 1 << bits) else None


def _wrapped(end: int, bits: int, signed: bool) -> int:
    """The value of the lowest `bits` of a whole number."""
    low = end & ((1 << bits) - 1)
    return low - (1 << bits) if signed and low >> (bits - 1) else low


def _cells(dataset: Dataset, index: int, values: NDArray[Any]) -> NDArray[Any]:
    """All bits allocated; of a compressed frame the stored values, which are what its codestream holds."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        return values
    return get_decoder(syntax).as_array(
        dataset,
        index=index,
        raw=True,
        correct_unused_bits=False,  # type: ignore[arg-type]  # pydicom annotates the dictionary of options, not one
        view_only=True,  # type: ignore[arg-type]
    )[0]
