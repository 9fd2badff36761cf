"""Which kind of file it is, and who reads it."""

import struct
import zlib
from collections.abc import Callable

from medxgan.server.errors import ImageError
from medxgan.server.images.encoded.picture import FIELD, Picture, film_of
from medxgan.server.images.encoded.png_jpeg import read_jpeg, read_png
from medxgan.server.images.encoded.tiff import read_tiff
from medxgan.server.images.film import Film
from medxgan.server.images.limits import ImageLimits

Reader = Callable[[bytes, int, ImageLimits], Picture]

_READERS: dict[bytes, tuple[str, Reader]] = {
    b"\x89PNG\r\n\x1a\n": ("PNG", read_png),
    b"\xff\xd8\xff": ("JPEG", read_jpeg),
    b"II*\0": ("TIFF", read_tiff),
    b"MM\0*": ("TIFF", read_tiff),
    b"II+\0": ("TIFF", read_tiff),
    b"MM\0+": ("TIFF", read_tiff),
}

# What the readers raise on a damaged file, found by damaging files (see the tests).
_READ_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    struct.error,
    SyntaxError,
    TypeError,
    ValueError,
    zlib.error,
)


def decode_encoded(content: bytes, frame: int, limits: ImageLimits) -> Film:
    """Read a PNG, JPEG or TIFF file.

    The EXIF orientation is respected. Transparency is dropped, colour becomes grey, both said in the notes. Grey and
    colour keep their depth.

    Args:
        content: the file.
        frame: the page of a TIFF file to read, from 1; 0 where none was asked for, which is an error with several.
        limits: the largest image taken.

    Raises:
        ImageError: if the file can't be read, or has no such frame.
        ImageTooLargeError: if the size in the header is over a limit; nothing was decompressed then.
    """
    kind, read = _reader(content)
    try:
        return film_of(read(content, frame, limits))
    except _READ_ERRORS:
        raise ImageError(FIELD, f"expected a whole {kind} file, got one that can't be decoded") from None


def _reader(content: bytes) -> tuple[str, Reader]:
    for signature, reader in _READERS.items():
        if content.startswith(signature):
            return reader
    raise ImageError(FIELD, "expected a PNG, JPEG or TIFF file, got something else")
