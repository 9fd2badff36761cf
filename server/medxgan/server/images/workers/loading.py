"""Imports all that decoding may import: a worker can't open a file any more, so nothing is left for its first use."""

import contextlib
from io import BytesIO

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from medxgan.server.errors import MedxganError
from medxgan.server.images.decoding import decode_file
from medxgan.server.images.encoded.picture import ORIENTATION_TAG
from medxgan.server.images.limits import ImageLimits

_DECODERS = (
    "bitorder_decode",
    "ccittfax3_decode",
    "ccittfax4_decode",
    "ccittrle_decode",
    "deflate_decode",
    "delta_decode",
    "float24_decode",
    "floatpred_decode",
    "htj2k_decode",
    "jpeg2k_decode",
    "jpeg8_decode",
    "jpeg_decode",
    "jpegls_decode",
    "jpegxl_decode",
    "lzma_decode",
    "lzw_decode",
    "packbits_decode",
    "packints_decode",
    "png_decode",
    "webp_decode",
    "zlib_decode",
    "zstd_decode",
)
"""Decoders of imagecodecs that tifffile or ours may call: it loads each at its first use."""


def load_everything(limits: ImageLimits) -> None:
    """Read a small file of each kind, so that every reader has loaded what it needs."""
    for name in _DECODERS:
        getattr(imagecodecs, name)
    picture, exif = Image.new("RGB", (16, 16)), Image.Exif()
    exif[ORIENTATION_TAG] = 1  # Pillow loads its reader of TIFF for it
    for kind in ("PNG", "JPEG"):
        file = BytesIO()
        picture.save(file, kind, exif=exif)
        decode_file("encoded", file.getvalue(), 0, None, limits)
    file = BytesIO()
    tifffile.imwrite(file, np.zeros((16, 16), np.uint16), compression="zlib", predictor=True)
    decode_file("encoded", file.getvalue(), 0, None, limits)
    with contextlib.suppress(MedxganError):  # it has no pixels, or reading DICOM is not installed
        decode_file("dicom", b"\x08\x00\x05\x00CS\x00\x00", 0, None, limits)
