"""PNG, JPEG and TIFF files to grey pictures."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import ExifTags, ImageOps
from PIL.Image import DecompressionBombError
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
_TRANSPARENT_GREY_MODES = {"LA", "La"}
_TRANSPARENT_COLOUR_MODES = {"RGBA", "RGBa", "PA"}
_MODES_LEFT_INVERTED = {"I;16", "F"}
"""Modes in which Pillow leaves a WhiteIsZero TIFF as it is; it turns the others itself."""
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
    inverted = (
        isinstance(picture, TiffImageFile)
        and picture.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == _WHITE_IS_ZERO
        and picture.mode in _MODES_LEFT_INVERTED
    )
    notes = []
    if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        notes.append("the picture was turned as its EXIF orientation says")
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)

    if picture.mode in _TRANSPARENT_GREY_MODES | _TRANSPARENT_COLOUR_MODES:
        notes.append("transparency was dropped")
    if picture.mode in _GREY_MODES:
        levels = np.asarray(picture).astype(np.float32)
    elif picture.mode == "1":
        levels = np.asarray(picture.convert("L")).astype(np.float32)
    elif picture.mode in _TRANSPARENT_GREY_MODES:
        levels = np.asarray(picture.convert("LA"))[..., 0].astype(np.float32)
    else:
        notes.append(COLOUR_NOTE)
        levels = grey_from_colour(np.asarray(picture.convert("RGB")))
    if not np.isfinite(levels).all():
        raise ImageError(_FIELD, "expected finite grey levels, got NaN or infinity")
    return GreyImage(levels, inverted, tuple(notes))
