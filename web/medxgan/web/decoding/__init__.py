"""A file's grey levels for the screen, by pydicom and Pillow.

The explanation is the server's, which reads the file by itself; here is what a person looks at.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medxgan.web.errors import FilmError

_DICOM_PREFIX = slice(128, 132)
MOST_ELONGATED = 16
"""Times that one side of a pixel may be as long as the other; the server takes no others either."""


@dataclass(frozen=True, eq=False)
class Film:
    """The grey levels of one frame, as the file stores them, and how they are to be shown.

    Attributes:
        levels: uint8 or uint16 [rows, columns], in the layout of the file.
        inverted: whether a high level is dark.
        low: the level that is darkest where nothing was set (brightest where inverted).
        high: the level at the other end.
        slope: a level times this plus `intercept` is its value in `unit`.
        intercept: see `slope`.
        unit: of the values: "HU" of CT; empty for plain grey levels.
        orientation: how the film is turned to stand upright, as EXIF counts; 1 as it is stored.
        aspect: height of a pixel over its width.
        frame: which was decoded, from 1.
        frames: how many the file has.
    """

    levels: NDArray[np.uint8] | NDArray[np.uint16]
    inverted: bool
    low: float
    high: float
    slope: float = 1.0
    intercept: float = 0.0
    unit: str = ""
    orientation: int = 1
    aspect: float = 1.0
    frame: int = 1
    frames: int = 1

    def __post_init__(self) -> None:
        """Refuse what can't be told in JSON; raises FilmError."""
        if not all(map(math.isfinite, (self.low, self.high, self.slope, self.intercept, self.aspect))):
            raise FilmError("the film states levels or pixels that are not finite")


def is_dicom(content: bytes) -> bool:
    """Whether a file is DICOM Part 10 (PS3.10, section 7.1)."""
    return content[_DICOM_PREFIX] == b"DICM"


def decode(content: bytes, *, frame: int = 1, maximum_pixels: int) -> Film:
    """Read one frame of a DICOM, PNG, JPEG or TIFF file.

    Args:
        content: the file.
        frame: which, from 1.
        maximum_pixels: of a frame; its header is asked before it is decoded.

    Raises:
        FilmError: the file is none of these, can't be read, or is too large.
    """
    if is_dicom(content):
        from medxgan.web.decoding.dicom import decode_dicom

        return decode_dicom(content, frame, maximum_pixels)
    from medxgan.web.decoding.encoded import decode_encoded

    return decode_encoded(content, frame, maximum_pixels)


def check_frame(frame: int, frames: int) -> None:
    """Refuse a frame that is not there."""
    if not 1 <= frame <= frames:
        raise FilmError(f"expected a frame from 1 to {frames}, got {frame}")


def check_size(rows: int, columns: int, maximum_pixels: int) -> None:
    """Refuse a film that is empty or too large."""
    if rows < 1 or columns < 1:
        raise FilmError("the film has no pixels")
    if rows * columns > maximum_pixels:
        raise FilmError(f"the film has {rows * columns:,} pixels; the reading room takes up to {maximum_pixels:,}")


def has_pixel_shape(height: float, width: float) -> bool:
    """Whether there are pixels of such a height and width, in any unit."""
    return 0 < max(height, width) <= MOST_ELONGATED * min(height, width)


def visible_range(levels: NDArray[np.uint8] | NDArray[np.uint16]) -> tuple[float, float]:
    """The levels between which a film is shown where its file does not say: from the 0.5 % to the 99.5 % quantile."""
    # Every so many pixels: a quantile needs no more, and a large film has tens of millions.
    step = max(1, int(np.sqrt(levels.size / 250_000)))
    low, high = np.percentile(levels[::step, ::step], (0.5, 99.5))
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)
