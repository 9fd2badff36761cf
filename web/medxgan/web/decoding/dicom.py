"""DICOM objects to grey levels, by pydicom. Imported only where a DICOM file comes in: it needs the extra `dicom`."""

import math
import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from medxgan.gateway.results.stored_values import stored_values
from medxgan.web.decoding import Film, check_frame, check_size, visible_range
from medxgan.web.decoding.dicom_frame import Frame
from medxgan.web.decoding.dicom_padding import padding_of, with_dark_padding
from medxgan.web.errors import FilmError

_UNREADABLE = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    OSError,
    struct.error,
    TypeError,
    ValueError,
    zlib.error,
)
"""What pydicom raises on a damaged file."""

_PALETTE = "PALETTE COLOR"
_SAMPLES = {
    **dict.fromkeys(("MONOCHROME1", "MONOCHROME2", _PALETTE), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"), 3),
}
"""Samples per pixel, by Photometric Interpretation."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue (ITU-R BT.601)."""


def decode_dicom(content: bytes, frame: int, maximum_pixels: int) -> Film:
    """See `decode`. Levels are stored values, so that a pixel reads in the unit of its rescale slope and intercept.

    Times `slope` and plus `intercept` they are the levels that the server explains, but that the luma of colour is
    rounded; what can't be shown so is refused.
    """
    try:
        if _transfer_syntax(content) == DeflatedExplicitVRLittleEndian:
            # It would be inflated whole before its size is known.
            raise FilmError("the DICOM file is deflated, which the reading room does not show")
        dataset = dcmread(BytesIO(content))
        rows, columns, frames = int(dataset.Rows), int(dataset.Columns), int(dataset.get("NumberOfFrames") or 1)
        check_frame(frame, frames)
        check_size(rows, columns, maximum_pixels)
        _check_pixels(dataset)
        return _film(dataset, stored_values(dataset, frame - 1), frame, frames)
    except (NotImplementedError, RuntimeError) as error:
        raise FilmError("the DICOM file is compressed in a way that the reading room can't show") from error
    except _UNREADABLE as error:
        raise FilmError("the DICOM file has no picture that can be read") from error


def _transfer_syntax(content: bytes) -> str:
    """Of the file meta information (PS3.10, section 7.1), which is not deflated itself."""
    file = BytesIO(content)
    file.seek(132)
    meta = read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
    return str(meta.get("TransferSyntaxUID", ""))


def _check_pixels(dataset: Dataset) -> None:
    """Refuse pixels that would be shown as something else than they are."""
    if "PixelData" not in dataset:
        raise FilmError("the film has no whole levels (PixelData), and the reading room shows no others")
    photometric = str(dataset.PhotometricInterpretation).strip().upper()
    if _SAMPLES.get(photometric) != dataset.SamplesPerPixel:
        raise FilmError(f"PhotometricInterpretation: expected one of {', '.join(_SAMPLES)}, with its samples per pixel")
    if photometric.startswith("YBR_FULL") and dataset.BitsAllocated > 8:
        raise FilmError("PhotometricInterpretation: expected RGB of such depth, or YBR_FULL of 8 bits")
    syntax, representation = dataset.file_meta.TransferSyntaxUID, dataset["PixelData"].VR
    if dataset.BitsAllocated == 1 and syntax == ExplicitVRBigEndian and representation == "OW":
        raise FilmError("the film has single bits in big-endian words, which the reading room does not show")
    if dataset.get("HighBit") not in (None, dataset.BitsStored - 1):
        raise FilmError("HighBit: expected BitsStored - 1; the reading room shows no others")


def _film(dataset: Dataset, values: NDArray[Any], frame: int, frames: int) -> Film:
    stated = Frame.of(dataset, frame - 1)
    slope, intercept, unit, inverted, window = 1.0, 0.0, "", False, None
    if str(dataset.PhotometricInterpretation).strip().upper() == _PALETTE:
        values = apply_color_lut(values, dataset)
    if values.ndim == 3:
        values = _grey(values)
    else:
        inverted, window = stated.inverted(), stated.window()
        table = stated.modality_table()
        if table is None:
            slope, intercept, unit = stated.rescale()
        # A falling modality transformation turns the film over once more.
        inverted = inverted != (slope < 0)
        padding = padding_of(dataset, frame - 1, values)
        if table is not None:
            values, unit = table[0].apply(values), table[1]
        if padding is not None:
            values = with_dark_padding(values, padding, inverted)
    lowest = int(values.min())
    if int(values.max()) - min(lowest, 0) > np.iinfo(np.uint16).max:
        raise FilmError("the film has levels beyond 16 bits, which the reading room does not show")
    if lowest < 0:
        # The texture holds no sign: the levels are moved, and the intercept moves them back.
        values, intercept = _moved_up(values, -lowest), intercept + slope * lowest
    narrow = int(values.max()) < 256
    levels = values.astype(np.uint8, copy=False) if narrow else values.astype(np.uint16, copy=False)
    low, high = _ends(window, slope, intercept) or visible_range(levels)
    return Film(
        levels,
        inverted=inverted,
        low=low,
        high=high,
        slope=slope,
        intercept=intercept,
        unit=unit,
        aspect=stated.aspect(),
        frame=frame,
        frames=frames,
    )


def _grey(colour: NDArray[Any]) -> NDArray[Any]:
    """The luma of red, green and blue [rows, columns, 3], in whole numbers; by lines, as it is reckoned in floats."""
    if np.array_equal(colour[..., 0], colour[..., 1]) and np.array_equal(colour[..., 0], colour[..., 2]):
        return colour[..., 0]
    grey = np.empty(colour.shape[:2], colour.dtype)
    for row, line in enumerate(colour):
        grey[row] = np.rint(line[:, :3] @ _LUMA)
    return grey


def _moved_up(values: NDArray[Any], by: int) -> NDArray[Any]:
    """Whole numbers with a sign, moved by `by` to 0 and up: they fit into their own width without the sign."""
    unsigned: NDArray[Any] = values.view(values.dtype.str.replace("i", "u"))
    moved: NDArray[Any] = unsigned + unsigned.dtype.type(by)
    return moved


def _ends(window: tuple[float, float] | None, slope: float, intercept: float) -> tuple[float, float] | None:
    """The ends of a window in levels; None where they are none that can be told."""
    if window is None:
        return None
    low, high = sorted((end - intercept) / slope for end in window)
    return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None
