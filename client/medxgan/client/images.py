"""From what a caller holds (an array, a file, its bytes) to the wire's image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medxgan.client.errors import InvalidRequestError
from medxgan.client.geometry import PixelSpacing
from medxgan.client.tensors import DATA_TYPES
from medxgan.v1 import explanation_pb2

ImageContent = NDArray[Any] | bytes | Path


@dataclass(frozen=True, eq=False)
class Image:
    """An image of which more is to be said than its content.

    Attributes:
        content: grey levels [H, W], [1, H, W] or [H, W, 1], or colour [H, W, 3], as uint8, uint16 or float32, high
            meaning bright; or a PNG, JPEG, TIFF or DICOM Part 10 file, as its path or its bytes. What the file is
            is told by its content, not by its name.
        frame: which frame of a multi-frame object, from 1; None for the only one.
        pixel_spacing: of an array or a PNG, JPEG or TIFF file, where it is known; a DICOM file states its own.
    """

    content: ImageContent
    frame: int | None = None
    pixel_spacing: PixelSpacing | None = None


ImageInput = Image | ImageContent
"""What a method takes for an image: an `Image`, or the content alone."""


def image_message(image: ImageInput) -> explanation_pb2.Image:
    """Put an image on the wire.

    Raises:
        InvalidRequestError: the array's type has no place on the wire.
        OSError: the file can't be read.
    """
    if not isinstance(image, Image):
        image = Image(image)
    message = _message(image.content)
    if image.frame is not None:
        if not 0 <= image.frame < 2**32:
            raise InvalidRequestError("image.frame", f"expected 1 to {2**32 - 1}, got {image.frame}")
        message.frame = image.frame
    if image.pixel_spacing is not None:
        message.pixel_spacing.row_mm = image.pixel_spacing.row_mm
        message.pixel_spacing.column_mm = image.pixel_spacing.column_mm
    return message


def _message(content: ImageContent) -> explanation_pb2.Image:
    if isinstance(content, np.ndarray):
        return explanation_pb2.Image(tensor=_tensor(content))
    file = content.read_bytes() if isinstance(content, Path) else content
    return explanation_pb2.Image(dicom=file) if is_dicom(file) else explanation_pb2.Image(encoded=file)


def is_dicom(file: bytes) -> bool:
    """Whether a file begins as one of DICOM does.

    That is with a preamble of 128 bytes and the prefix (PS3.10, 7.1), or, as some archives write them, without the one
    or both: with an element of group 0002 or 0008, in either byte order.
    """
    prefixed = b"DICM" in (file[128:132], file[:4])
    return prefixed or (len(file) >= 8 and file[:2] in (b"\2\0", b"\0\2", b"\x08\0", b"\0\x08"))


def _tensor(array: NDArray[Any]) -> explanation_pb2.Tensor:
    little_endian = array.dtype.newbyteorder("<")
    for data_type, stored in DATA_TYPES.items():
        if stored == little_endian:
            data = array.astype(little_endian, copy=False).tobytes()
            return explanation_pb2.Tensor(shape=array.shape, data_type=data_type, data=data)
    raise InvalidRequestError("image.tensor.data_type", f"expected uint8, uint16 or float32, got {array.dtype}")
