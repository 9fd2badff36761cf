"""PNG, JPEG and TIFF files to grey pictures."""

import struct
import zlib
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, ImageOps
from PIL.Image import DecompressionBombError, Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from medxgan.server.errors import ImageError, ImageTooLargeError
from medxgan.server.images.grey import COLOUR_NOTE, GreyImage, grey_from_colour
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.quiet import quiet_reader

_FIELD = "image.encoded"

# The readers are named, and their classes called, so that no other of Pillow's many readers ever sees a caller's bytes.
_READERS: dict[bytes, tuple[str, type[ImageFile]]] = {
    b"\x89PNG\r\n\x1a\n": ("PNG", PngImageFile),
    b"\xff\xd8\xff": ("JPEG", JpegImageFile),
    b"II*\0": ("TIFF", TiffImageFile),
    b"MM\0*": ("TIFF", TiffImageFile),
    b"II+\0": ("TIFF", TiffImageFile),
    b"MM\0+": ("TIFF", TiffImageFile),
}

# What Pillow's readers raise on a damaged file, found by damaging files (see the tests).
_READ_ERRORS = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    OSError,
    OverflowError,
    struct.error,
    SyntaxError,
    TypeError,
    ValueError,
    zlib.error,
)

_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "LA": 2, "La": 2, "PA": 2, "I;16": 2, "I;16B": 2, "RGB": 3, "YCbCr": 3}
_MOST_BYTES_PER_PIXEL = 4

_GREY_MODES = {"L", "I;16", "I;16B", "I", "F"}
_MODES_THAT_IGNORE_WHITE_IS_ZERO = {"I;16", "F"}
_PHOTOMETRIC_INTERPRETATION = 262
_WHITE_IS_ZERO = 0


def decode_encoded(content: bytes, limits: ImageLimits) -> GreyImage:
    """Read a PNG, JPEG or TIFF file with one picture in it.

    The EXIF orientation is respected. Transparency is dropped, colour becomes grey, both said in the notes. Grey keeps
    its depth (8, 16 or 32 bits); colour of 16 bits a channel is read with 8.

    Raises:
        ImageError: if the file can't be read, or holds several pictures.
        ImageTooLargeError: if the size in the header is over a limit; nothing was decompressed then.
    """
    kind, reader = _reader(content)
    with quiet_reader():
        try:
            with reader(BytesIO(content)) as picture:
                limits.check(
                    _FIELD, picture.height, picture.width, _BYTES_PER_PIXEL.get(picture.mode, _MOST_BYTES_PER_PIXEL)
                )
                if getattr(picture, "is_animated", False):
                    raise ImageError(_FIELD, f"expected a {kind} file with one picture, got several")
                return _grey(picture)
        except DecompressionBombError as error:
            raise ImageTooLargeError(_FIELD, f"expected a {kind} file of a smaller picture") from error
        except _READ_ERRORS as error:
            raise ImageError(_FIELD, f"expected a whole {kind} file, got one that can't be decoded") from error


def _reader(content: bytes) -> tuple[str, type[ImageFile]]:
    for signature, reader in _READERS.items():
        if content.startswith(signature):
            return reader
    raise ImageError(_FIELD, "expected a PNG, JPEG or TIFF file, got something else")


def _grey(picture: ImageFile) -> GreyImage:
    notes: list[str] = []
    inverted = (
        isinstance(picture, TiffImageFile)
        and picture.tag_v2.get(_PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
        and picture.mode in _MODES_THAT_IGNORE_WHITE_IS_ZERO
    )
    picture.load()  # turns a TIFF by itself
    turned = isinstance(picture, TiffImageFile) and picture.info
    return GreyImage(_levels(picture, notes), inverted, tuple(notes))
