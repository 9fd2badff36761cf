"""From what a caller holds (an array, a file, its bytes) to the wire's image."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medxgan.client.errors import InvalidRequestError
from medxgan.v1 import bundle_pb2, explanation_pb2

ImageInput = NDArray[Any] | bytes | Path

_DATA_TYPES = {
    np.dtype(np.uint8): bundle_pb2.DATA_TYPE_UINT8,
    np.dtype(np.uint16): bundle_pb2.DATA_TYPE_UINT16,
    np.dtype(np.float32): bundle_pb2.DATA_TYPE_FLOAT32,
}


def image_message(image: ImageInput) -> explanation_pb2.Image:
    """Put an image on the wire.

    Args:
        image: grey levels [H, W], [1, H, W] or [H, W, 1], or colour [H, W, 3], as uint8, uint16 or float32, high
            meaning bright; or a PNG, JPEG, TIFF or DICOM Part 10 file, as its path or its bytes. What the file is
            is told by its content, not by its name.

    Raises:
        InvalidRequestError: the array's type has no place on the wire.
        OSError: the file can't be read.
    """
    if isinstance(image, np.ndarray):
        return explanation_pb2.Image(tensor=_tensor(image))
    content = image.read_bytes() if isinstance(image, Path) else image
    # DICOM PS3.10, section 7.1: a preamble of 128 bytes, then the prefix.
    if content[128:132] == b"DICM":
        return explanation_pb2.Image(dicom=content)
    return explanation_pb2.Image(encoded=content)


def _tensor(array: NDArray[Any]) -> explanation_pb2.Tensor:
    data_type = _DATA_TYPES.get(array.dtype.newbyteorder("="))
    if data_type is None:
        raise InvalidRequestError("image.tensor.data_type", f"expected uint8, uint16 or float32, got {array.dtype}")
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return explanation_pb2.Tensor(shape=array.shape, data_type=data_type, data=little_endian.tobytes())
