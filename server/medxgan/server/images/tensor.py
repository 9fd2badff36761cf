"""Raw tensors to grey pictures."""

import numpy as np

from medxgan.server.errors import ImageError
from medxgan.server.images.film import COLOUR_NOTE, Film, grey_from_colour
from medxgan.server.images.levels import SHIFTED_NOTE, single_precision
from medxgan.server.images.limits import ImageLimits
from medxgan.v1 import bundle_pb2, explanation_pb2

_ELEMENT_TYPES: dict[int, np.dtype[np.generic]] = {
    bundle_pb2.DATA_TYPE_UINT8: np.dtype("u1"),
    bundle_pb2.DATA_TYPE_UINT16: np.dtype("<u2"),
    bundle_pb2.DATA_TYPE_FLOAT32: np.dtype("<f4"),
}


def decode_tensor(tensor: explanation_pb2.Tensor, data: bytes, limits: ImageLimits) -> Film:
    """Read a tensor of shape [H, W], [1, H, W], [H, W, 1] (grey) or [H, W, 3] (colour).

    Where a shape reads both ways, [1, H, W] comes first. A picture of one level is allowed: what it means is the
    model's to say.

    Args:
        tensor: shape and element type; its own data are not looked at.
        data: the elements.
        limits: the largest image taken.

    Raises:
        ImageError: naming the field of the tensor that is wrong.
        ImageTooLargeError: if the tensor has too many pixels.
    """
    element = _ELEMENT_TYPES.get(tensor.data_type)
    if element is None:
        raise ImageError("image.tensor.data_type", "expected UINT8, UINT16 or FLOAT32")
    shape = tuple(tensor.shape)
    height, width, samples = _extent(shape)
    limits.check("image.tensor.shape", height, width, samples * element.itemsize)
    expected = height * width * samples * element.itemsize
    if len(data) != expected:
        raise ImageError(
            "image.tensor.data",
            f"expected {expected} bytes for {list(shape)} of {element.name}, got {len(data)}",
        )
    values = np.frombuffer(data, dtype=element)
    notes: tuple[str, ...] = ()
    if samples == 3:
        values = grey_from_colour(values.reshape(height, width, 3))
        notes = (COLOUR_NOTE,)
    try:
        levels, shifted = single_precision(values.reshape(height, width))
    except ValueError:
        raise ImageError("image.tensor.data", "expected finite values, got NaN or infinity") from None
    return Film(levels, notes=(*notes, SHIFTED_NOTE) if shifted else notes)


def _extent(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Height, width and samples per pixel of a tensor."""
    match shape:
        case (height, width) | (1, height, width) | (height, width, 1):
            samples = 1
        case (height, width, 3):
            samples = 3
        case _:
            raise ImageError(
                "image.tensor.shape", f"expected [H, W], [1, H, W], [H, W, 1] or [H, W, 3], got {list(shape)}"
            )
    if height == 0 or width == 0:
        raise ImageError("image.tensor.shape", f"expected every extent to be at least 1, got {list(shape)}")
    return height, width, samples
