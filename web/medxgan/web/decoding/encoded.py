"""PNG, JPEG and TIFF files to grey levels, by Pillow."""

import warnings
from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from medxgan.web.decoding import Film, check_frame, check_size, visible_range
from medxgan.web.errors import FilmError

# Now, and not with the first file: who decodes confined may open no other any more.
Image.init()

FORMATS = ("PNG", "JPEG", "TIFF")
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, TypeError)
"""What Pillow raises on a damaged file."""


def decode_encoded(content: bytes, frame: int, maximum_pixels: int) -> Film:
    """See `decode`."""
    try:
        # Pillow's own bound is a warning; ours is an error and comes before the pixels.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                return _film(image, frame, maximum_pixels)
    except UnidentifiedImageError as error:
        raise FilmError("the file is no DICOM, PNG, JPEG or TIFF image") from error
    except Image.DecompressionBombError as error:
        raise FilmError(f"the film is too large; the reading room takes up to {maximum_pixels:,} pixels") from error
    except _UNREADABLE as error:
        raise FilmError("the file is an image, but it can't be read: it may be damaged or cut short") from error


def _film(image: Image.Image, frame: int, maximum_pixels: int) -> Film:
    frames = getattr(image, "n_frames", 1)
    check_frame(frame, frames)
    if frames > 1:
        image.seek(frame - 1)
    check_size(image.height, image.width, maximum_pixels)
    orientation = image.getexif().get(Base.Orientation, 1)
    if image.mode.startswith("I"):
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > np.iinfo(np.uint16).max:
            raise FilmError("the film has levels beyond 16 bits, which the reading room does not show")
        levels = wide.astype(np.uint16)
    elif image.mode == "F":
        raise FilmError("the film has levels with fractions, which the reading room does not show")
    else:
        # Colour and palettes become grey (ITU-R 601), as the server makes them.
        levels = np.asarray(image.convert("L"))
    low, high = visible_range(levels)
    return Film(
        levels,
        inverted=False,
        low=low,
        high=high,
        orientation=orientation if orientation in range(1, 9) else 1,
        frame=frame,
        frames=frames,
    )
