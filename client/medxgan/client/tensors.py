"""The wire's tensors and NumPy's arrays."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from medxgan.client.errors import ServerFaultError
from medxgan.client.geometry import FloatArray
from medxgan.v1 import bundle_pb2, explanation_pb2

DATA_TYPES: Mapping[Any, np.dtype[Any]] = {
    bundle_pb2.DATA_TYPE_UINT8: np.dtype("u1"),
    bundle_pb2.DATA_TYPE_UINT16: np.dtype("<u2"),
    bundle_pb2.DATA_TYPE_FLOAT32: np.dtype("<f4"),
}
"""The element types of the wire."""


def array(tensor: explanation_pb2.Tensor) -> FloatArray | None:
    """Read a tensor as float32; None where its element type is not known to this client.

    Raises:
        ServerFaultError: its data does not fit its shape.
    """
    stored = DATA_TYPES.get(tensor.data_type)
    if stored is None:
        return None
    size = prod(tensor.shape)
    if len(tensor.data) != size * stored.itemsize:
        raise ServerFaultError(
            f"the answer can't be read: {len(tensor.data)} bytes for {size} values of {stored.itemsize} bytes each, "
            f"the shape {list(tensor.shape)}"
        )
    return np.frombuffer(tensor.data, stored).astype(np.float32, copy=False).reshape(tuple(tensor.shape))
