"""PNG, JPEG and TIFF files to grey levels, by Pillow."""

import warnings
from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import TiffImageFile

from medxgan.web.decoding import Film, check_frame, check_size, has_pixel_shape, visible_range
from medxgan.web.errors import FilmError

# Now, and not with the first file: who decodes confined may open no other any more.
Image.init()

FORMATS = ("PNG", "JPEG", "TIFF")
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, TypeError)
"""What Pillow raises on a damaged file."""

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SUBFILE_TYPE, _PHOTOMETRIC, _X_RESOLUTION, _Y_RESOLUTION = 254, 262, 282, 283
"""Tags of TIFF."""
_REDUCED, _MASK = 1, 4
"""Bits of a page's type: a smaller copy of another page, a mask of it. The server does not count them either."""
_SAME_ASPECT = 0.01
_FULL = 255


def decode_encoded(content: bytes, frame: int, maximum_pixels: int) -> Film:
    """See `decode`."""
    try:
        # Pillow's own bound is a warning; ours is an error and comes before the pixels.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                return _film(image, frame, maximum_pixels)
    except UnidentifiedImageError as error:
        if content[:4] in _TIFF_STARTS:
            raise FilmError("the TIFF file is of a kind that the reading room can't show") from error
        raise FilmError("the file is no DICOM, PNG, JPEG or TIFF image") from error
    except Image.DecompressionBombError as error:
        raise FilmError(f"the film is too large; the reading room takes up to {maximum_pixels:,} pixels") from error
    except _UNREADABLE as error:
        raise FilmError("the file is an image, but it can't be read: it may be damaged or cut short") from error


def _film(image: Image.Image, frame: int, maximum_pixels: int) -> Film:
    pages = _pages(image)
    check_frame(frame, len(pages))
    image.seek(pages[frame - 1])
    check_size(image.height, image.width, maximum_pixels)
    orientation = image.getexif().get(Base.Orientation, 1)
    # As DICOM's MONOCHROME1.
    white_is_zero = isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0
    aspect = _aspect(image)
    if image.mode.startswith("I"):
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > np.iinfo(np.uint16).max:
            raise FilmError("the film has levels beyond 16 bits, which the reading room does not show")
        levels = wide.astype(np.uint16)
    elif image.mode == "F":
        raise FilmError("the film has levels with fractions, which the reading room does not show")
    elif _is_cut(image):
        raise FilmError("the film has colours or transparency of 16 bits, which the reading room does not show")
    else:
        # Colour and palettes become grey (ITU-R 601), as the server makes them.
        levels = np.asarray(image.convert("L"))
        if white_is_zero:  # up to 8 bits Pillow has turned it over
            levels = _FULL - levels
    low, high = visible_range(levels)
    return Film(
        levels,
        inverted=white_is_zero,
        low=low,
        high=high,
        orientation=orientation if orientation in range(1, 9) else 1,
        aspect=aspect,
        frame=frame,
        frames=len(pages),
    )


def _pages(image: Image.Image) -> list[int]:
    """Which pictures of a file count."""
    count = getattr(image, "n_frames", 1)
    if not isinstance(image, TiffImageFile) or count == 1:
        return list(range(count))
    pages = []
    for page in range(count):
        image.seek(page)
        if not image.tag_v2.get(_SUBFILE_TYPE, 0) & (_REDUCED | _MASK):
            pages.append(page)
    return pages


def _is_cut(image: Image.Image) -> bool:
    """Whether Pillow keeps 8 of 16 bits; asked before the pixels are read."""
    stored = [tile.args if isinstance(tile.args, str) else tile.args[0] for tile in image.tile]  # type: ignore[attr-defined]
    return any(";16" in str(each) for each in stored)


def _aspect(image: Image.Image) -> float:
    """Height of a pixel over its width, by the resolution that the file states; 1 where that says nothing."""
    if isinstance(image, TiffImageFile):
        stated = image.tag_v2.get(_X_RESOLUTION), image.tag_v2.get(_Y_RESOLUTION)
    else:
        stated = next((image.info[name] for name in ("dpi", "aspect", "jfif_density") if image.info.get(name)), (1, 1))
    across, down = (0.0 if each is None else float(each) for each in stated)
    if not has_pixel_shape(across, down) or abs(across / down - 1) <= _SAME_ASPECT:
        return 1.0
    return across / down
