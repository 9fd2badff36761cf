"""DICOM objects to grey levels, by pydicom. Imported only where a DICOM file comes in: it needs the extra `dicom`."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.pixels.processing import apply_modality_lut, convert_color_space
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medxgan.gateway.results.stored_values import stored_values
from medxgan.web.decoding import Film, check_frame, check_size, visible_range
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


def decode_dicom(content: bytes, frame: int, maximum_pixels: int) -> Film:
    """See `decode`. Levels are stored values, so that a pixel reads in the unit of its rescale slope and intercept."""
    try:
        if _transfer_syntax(content) == DeflatedExplicitVRLittleEndian:
            # It would be inflated whole before its size is known.
            raise FilmError("the DICOM file is deflated, which the reading room does not show")
        dataset = dcmread(BytesIO(content))
        rows, columns, frames = int(dataset.Rows), int(dataset.Columns), int(dataset.get("NumberOfFrames") or 1)
        check_frame(frame, frames)
        check_size(rows, columns, maximum_pixels)
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


def _film(dataset: Dataset, values: NDArray[Any], frame: int, frames: int) -> Film:
    slope, intercept = float(dataset.get("RescaleSlope", 1) or 1), float(dataset.get("RescaleIntercept", 0) or 0)
    if dataset.get("ModalityLUTSequence"):
        values, slope, intercept = apply_modality_lut(values, dataset), 1.0, 0.0
    if values.ndim == 3:
        photometric = str(dataset.PhotometricInterpretation)
        colour = values if photometric == "RGB" else convert_color_space(values, photometric, "RGB")
        values = np.asarray(Image.fromarray(colour.astype(np.uint8)).convert("L"))
    lowest = int(values.min())
    if lowest < 0:
        # The texture holds no sign: the levels are moved, and the intercept moves them back.
        values, intercept = values.astype(np.int64) - lowest, intercept + slope * lowest
    if int(values.max()) > np.iinfo(np.uint16).max:
        raise FilmError("the film has levels beyond 16 bits, which the reading room does not show")
    levels = values.astype(np.uint8) if int(values.max()) < 256 else values.astype(np.uint16)
    low, high = _window(dataset, slope, intercept) or visible_range(levels)
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    turned_over = str(dataset.get("PhotometricInterpretation")) == "MONOCHROME1" or shape == "INVERSE"
    return Film(
        levels,
        # A falling modality transformation turns it over once more.
        inverted=turned_over != (slope < 0),
        low=low,
        high=high,
        slope=slope,
        intercept=intercept,
        unit="HU" if dataset.get("Modality") == "CT" else "",
        aspect=_aspect(dataset),
        frame=frame,
        frames=frames,
    )


def _window(dataset: Dataset, slope: float, intercept: float) -> tuple[float, float] | None:
    """The first window of the object, in levels; None where it states none."""
    center, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or width <= 0:
        return None
    ends = sorted((center + side * width / 2 - intercept) / slope for side in (-1, 1))
    return ends[0], ends[1]


def _aspect(dataset: Dataset) -> float:
    for name in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        pair = dataset.get(name)
        if pair is not None and len(pair) == 2 and float(pair[0]) > 0 and float(pair[1]) > 0:
            return float(pair[0]) / float(pair[1])
    return 1.0


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    return float(value if isinstance(value, str | float | int) else value[0])
