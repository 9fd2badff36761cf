"""The stored values of one frame, out of whichever transfer syntax it came in."""

from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, get_frame, parse_basic_offsets
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import UID, ExplicitVRBigEndian

from medxgan.server.errors import ImageError
from medxgan.server.images.codestream import STARTS, ends_as_stated, read_codestream, too_many_scans, with_other_end
from medxgan.server.images.dicom.errors import FIELD, refused
from medxgan.server.images.dicom.header import PixelModule
from medxgan.server.images.dicom.rle import decode_rle
from medxgan.server.images.dicom.syntaxes import CODECS, Codec


@dataclass(frozen=True)
class StoredFrame:
    """A frame as it is stored.

    Attributes:
        values: [H, W], or red, green and blue [H, W, 3]: whole numbers out of the bits stored, or floats.
        cells: [H, W] as it was read, all bits allocated; None where they are the values.
    """

    values: NDArray[np.generic]
    cells: NDArray[np.generic] | None = None


def read_stored(dataset: Dataset, syntax: UID, module: PixelModule, index: int) -> StoredFrame:
    """Read a frame of an object, and decompress no other.

    Raises:
        ImageError: if the frame is not what the header says of it.
    """
    codec = CODECS[syntax]
    if dataset[module.data].is_undefined_length != (codec is not Codec.NATIVE):
        expected = "uncompressed" if codec is Codec.NATIVE else "compressed, in fragments,"
        raise refused(module.data, f"expected {expected} by the transfer syntax")
    if codec is Codec.NATIVE:
        cells = _native(dataset, syntax, module, index)
        return _values(cells, module, cells.dtype.itemsize * 8)
    if module.floating:
        raise refused(module.data, "expected uncompressed")
    frame = _compressed_frame(dataset, codec, module, index)
    if codec is Codec.RLE:
        return _values(decode_rle(frame, module), module, module.bits_allocated)
    return _from_codestream(frame, codec, module)


def _native(dataset: Dataset, syntax: UID, module: PixelModule, index: int) -> NDArray[np.generic]:
    """Cells of an uncompressed frame. One byte may be added to make the number of bytes even."""
    held = len(dataset[module.data].value)
    if held not in (module.native_bytes, module.native_bytes + module.native_bytes % 2):
        raise ImageError(
            FIELD,
            f"expected {module.native_bytes} bytes of pixels for {module.frames} frame(s) of {module.rows} x "
            f"{module.columns} (Rows x Columns), got {held}",
        )
    if module.bits_allocated == module.samples == 1:
        packed = dataset[module.data].value
        if syntax == ExplicitVRBigEndian and dataset[module.data].VR == "OW":
            packed = np.frombuffer(packed[: held // 2 * 2], "u2").byteswap().tobytes()
        return _bit_frame(packed, module, index)
    cells: NDArray[np.generic] = get_decoder(syntax).as_array(
        dataset,
        index=index,
        raw=True,
        correct_unused_bits=False,  # type: ignore[arg-type]  # pydicom annotates the dictionary of options, not one
        view_only=True,  # type: ignore[arg-type]
    )[0]
    return cells.astype(cells.dtype.newbyteorder("="), copy=False)


def _bit_frame(packed: bytes, module: PixelModule, index: int) -> NDArray[np.generic]:
    """A frame of single bits. It begins within a byte where the one before ends there; pydicom loses its last ones."""
    count = module.rows * module.columns
    first = index * count
    part = np.frombuffer(packed, np.uint8)[first // 8 : -(-(first + count) // 8)]
    bits = np.unpackbits(part, bitorder="little")[first % 8 :][:count]
    return bits.reshape(module.rows, module.columns)


def _values(cells: NDArray[np.generic], module: PixelModule, width: int) -> StoredFrame:
    """Take the stored bits out of cells of `width` bits, and turn colour to red, green and blue."""
    if module.floating or width == module.bits_stored or module.bits_allocated == 1:
        values, kept = cells, None
    else:
        kept = cells
        values = _bits(cells, width, module.bits_stored, module.high_bit)
    if module.interpretation.startswith("YBR_FULL"):
        if values.dtype.itemsize > 1:
            raise refused("PhotometricInterpretation", f"expected RGB of {module.bits_stored} bits, or YBR_FULL of 8")
        values = convert_color_space(values, "YBR_FULL", "RGB")
    return StoredFrame(values, kept)


def _bits(cells: NDArray[np.generic], width: int, stored: int, high_bit: int) -> NDArray[np.generic]:
    """Cut what lies above the high bit off, then what lies below the stored bits; a signed type keeps its sign."""
    taken: NDArray[np.generic] = np.left_shift(cells, width - 1 - high_bit)
    np.right_shift(taken, width - stored, out=taken)
    return taken


def _compressed_frame(dataset: Dataset, codec: Codec, module: PixelModule, index: int) -> bytes:
    pixels = dataset[module.data].value
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    _check_count(pixels, codec, module.frames)
    return get_frame(pixels, index, number_of_frames=module.frames, extended_offsets=offsets)


def _check_count(pixels: bytes, codec: Codec, frames: int) -> None:
    """Refuse an object whose fragments hold more frames than its header says.

    A run-length coded frame is one fragment; others may be cut into several, of which one begins a codestream.
    """
    after_table = len(parse_basic_offsets(pixels)) * 4 + 8
    fragments = generate_fragments(pixels[after_table:])
    if sum(codec is Codec.RLE or fragment.startswith(STARTS) for fragment in fragments) > frames:
        raise refused("NumberOfFrames", f"expected as many as the pixel data holds, got {frames}")


def _from_codestream(frame: bytes, codec: Codec, module: PixelModule) -> StoredFrame:
    stated = read_codestream(frame)
    if stated is None or (stated.height, stated.width) != (module.rows, module.columns):
        raise ImageError(FIELD, f"expected a compressed frame of {module.rows} x {module.columns} (Rows x Columns)")
    if too_many_scans(frame):
        raise ImageError(FIELD, "expected a compressed frame of fewer scans")
    if stated.samples not in (0, module.samples):
        raise ImageError(FIELD, f"expected a compressed frame of {module.samples} samples per pixel")
    if stated.precision > module.bits_allocated:
        raise refused("BitsAllocated", f"expected at least the {stated.precision} bits of the compressed frame")
    rgb = stated.rgb if stated.rgb is not None else not module.interpretation.startswith("YBR_FULL")
    try:
        if codec is Codec.HTJ2K and not ends_as_stated(frame):
            raise ValueError("cut off")
        decoded = _decode(frame, codec, module, rgb)
        if codec is Codec.JPEG and not np.array_equal(decoded, _decode(with_other_end(frame), codec, module, rgb)):
            raise ValueError("cut off")
    except (RuntimeError, ValueError):
        raise ImageError(FIELD, "expected a whole compressed frame, got one that can't be decoded") from None
    expected = (module.rows, module.columns, 3) if module.samples == 3 else (module.rows, module.columns)
    if decoded.shape != expected or decoded.dtype.kind not in "iu":
        raise ImageError(FIELD, f"expected a compressed frame of {module.samples} samples per pixel")
    if module.samples == 3:
        return StoredFrame(decoded if rgb or codec is Codec.JPEG else convert_color_space(decoded, "YBR_FULL", "RGB"))
    return _grey_values(decoded, stated.precision, module)


def _decode(frame: bytes, codec: Codec, module: PixelModule, rgb: bool) -> NDArray[np.generic]:
    match codec:
        case Codec.JPEG if module.samples == 3:
            return imagecodecs.jpeg8_decode(frame, colorspace="RGB" if rgb else "YCBCR", outcolorspace="RGB")
        case Codec.JPEG:
            return imagecodecs.jpeg8_decode(frame)
        case Codec.JPEG_LS:
            return imagecodecs.jpegls_decode(frame)
        case Codec.JPEG_2000:
            return imagecodecs.jpeg2k_decode(frame, numthreads=1)
        case Codec.HTJ2K:
            return imagecodecs.htj2k_decode(frame)
        case Codec.JPEG_XL:
            return imagecodecs.jpegxl_decode(frame, numthreads=1)
        case _:
            raise ValueError(codec)


def _grey_values(decoded: NDArray[np.generic], precision: int, module: PixelModule) -> StoredFrame:
    """Stored values out of what a decoder gave.

    A codestream knows nothing of the high bit: its values are the stored ones, unless it was made of whole cells. Some
    forms have no sign, and others state one that the data set contradicts; the data set's counts.
    """
    width = decoded.dtype.itemsize * 8
    cells = decoded.view(np.dtype(f"{'i' if module.signed else 'u'}{decoded.dtype.itemsize}"))
    if precision > module.high_bit:
        return StoredFrame(_bits(cells, width, module.bits_stored, module.high_bit), cells)
    precision = precision or module.bits_stored
    return StoredFrame(_bits(cells, width, min(precision, width), min(precision, width) - 1))
