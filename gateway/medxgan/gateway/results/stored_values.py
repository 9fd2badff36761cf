"""The stored values of a frame in grey: by pydicom, or by imagecodecs where pydicom knows no decoder."""

from collections.abc import Callable, Mapping
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    HTJ2K,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEGExtended12Bit,
)

Stored = NDArray[np.integer[Any]]

_CODECS: Mapping[UID, Callable[[bytes], Stored]] = {
    # 12 bits, which no decoder of pydicom reads but one under the GPL.
    JPEGExtended12Bit: imagecodecs.jpeg8_decode,
    HTJ2K: imagecodecs.htj2k_decode,
    HTJ2KLossless: imagecodecs.htj2k_decode,
    HTJ2KLosslessRPCL: imagecodecs.htj2k_decode,
}


def stored_values(film: Dataset, index: int = 0) -> NDArray[Any]:
    """The stored values of one frame: [rows, columns], or [rows, columns, 3] of a film in colour that pydicom reads.

    Args:
        film: a DICOM file.
        index: which frame, from 0.

    Raises:
        NotImplementedError, RuntimeError: no decoder reads it.
        AttributeError, ValueError: the pixels don't fit their description.
    """
    decode = _CODECS.get(film.file_meta.TransferSyntaxUID)
    if decode is None or film.SamplesPerPixel != 1:
        return pixel_array(film, index=index)
    stored = decode(get_frame(film.PixelData, index, number_of_frames=int(film.get("NumberOfFrames") or 1)))
    if stored.shape != (film.Rows, film.Columns):
        raise ValueError(f"expected a compressed frame of {film.Rows} x {film.Columns}, got {stored.shape}")
    # A codestream of JPEG has no sign, and one of JPEG 2000 one that the data set contradicts; the data set's counts.
    return stored.view(np.dtype(f"{'i' if film.PixelRepresentation else 'u'}{stored.dtype.itemsize}"))
