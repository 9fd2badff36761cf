"""RLE Lossless (DICOM PS3.5, annex G): byte planes, each run-length coded by PackBits."""

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from medxgan.server.errors import ImageError
from medxgan.server.images.dicom.errors import FIELD, refused
from medxgan.server.images.dicom.header import PixelModule

_HEADER_BYTES = 64


def decode_rle(frame: bytes, module: PixelModule) -> NDArray[np.generic]:
    """Cells of a frame, [H, W] or [H, W, 3].

    Raises:
        ImageError: if a segment is longer or shorter than the frame. One pad byte is allowed, nothing is decoded
            beyond it.
    """
    if module.bits_allocated == 1:
        raise refused("BitsAllocated", "expected 8, 16, 32 or 64 with run-length coding")
    planes = module.bytes_per_pixel
    header = np.frombuffer(frame[:_HEADER_BYTES].ljust(_HEADER_BYTES, b"\0"), "<u4")
    bounds = [*header[1 : 1 + planes].tolist(), len(frame)]
    if header[0] != planes or any(
        begin >= end for begin, end in zip([_HEADER_BYTES - 1, *bounds], bounds, strict=False)
    ):
        raise ImageError(FIELD, f"expected {planes} run-length coded segments of a frame")
    pixels = module.rows * module.columns
    decoded = np.empty((planes, pixels), np.uint8)
    for plane, begin, end in zip(decoded, bounds, bounds[1:], strict=False):
        plane[:] = _segment(frame[begin:end], pixels)
    # The most significant byte of a sample comes first.
    cells = np.ascontiguousarray(decoded.reshape(module.samples, -1, pixels).transpose(2, 0, 1))
    kind = f">{'i' if module.signed else 'u'}{module.bits_allocated // 8}"
    whole = cells.view(kind).astype(np.dtype(kind).newbyteorder("="))
    shape = (module.rows, module.columns, 3) if module.samples == 3 else (module.rows, module.columns)
    return whole.reshape(shape)


def _segment(coded: bytes, pixels: int) -> NDArray[np.uint8]:
    try:
        unpacked = imagecodecs.packbits_decode(coded, out=bytearray(pixels + pixels % 2))
    except imagecodecs.PackbitsError:
        unpacked = b""
    if len(unpacked) not in (pixels, pixels + pixels % 2):
        raise ImageError(FIELD, f"expected run-length coded segments of {pixels} bytes (Rows times Columns)")
    return np.frombuffer(unpacked, np.uint8)[:pixels]
