"""Tensors of the protocol, in the request or in shared memory."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

from medxgan.server.errors import InvalidRequestError, shown
from medxgan.server.open_inference.messages import inference
from medxgan.server.open_inference.parameters import text, whole_number
from medxgan.server.open_inference.shared_memory import Region, SharedMemory

REGION, BYTE_SIZE, OFFSET = "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"
_PLACE_PARAMETERS = (REGION, BYTE_SIZE, OFFSET)

_LENGTH = struct.Struct("<I")

_MOST_NUMBERS = 2**22
"""Elements that may come as numbers, of which each takes a moment of Python; as bytes there may be more."""

_CONTENTS: Mapping[str, tuple[str, str]] = {
    "UINT8": ("uint_contents", "u1"),
    "UINT16": ("uint_contents", "<u2"),
    "FP32": ("fp32_contents", "<f4"),
}
"""The field of `InferTensorContents` that holds the elements of a type, and how they are written as bytes."""


def bytes_tensor(elements: Sequence[bytes]) -> bytes:
    """The elements of a tensor of BYTES, each after its length."""
    return b"".join(part for element in elements for part in (_LENGTH.pack(len(element)), element))


def only_element(content: bytes, field: str) -> bytes:
    """The one element of a tensor of BYTES.

    Raises:
        InvalidRequestError: naming the field, where there is another number of elements.
    """
    if len(content) < _LENGTH.size or _LENGTH.unpack_from(content)[0] != len(content) - _LENGTH.size:
        raise InvalidRequestError(field, "expected one element after its length in 4 bytes, little-endian")
    return content[_LENGTH.size :]


def typed_contents(tensor: inference.ModelInferRequest.InferInputTensor, field: str) -> bytes:
    """The elements of a tensor that holds them as numbers, as bytes.

    Raises:
        InvalidRequestError: naming the field, where they are not of the tensor's type.
    """
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if tensor.datatype == "BYTES" and filled == ["bytes_contents"]:
        return bytes_tensor(tensor.contents.bytes_contents)
    held, written = _CONTENTS.get(tensor.datatype, ("", ""))
    if filled != [held]:
        raise InvalidRequestError(field, f"expected the contents of {shown(tensor.datatype)}, got others")
    elements: Sequence[float] = getattr(tensor.contents, held)
    if len(elements) > _MOST_NUMBERS:
        raise InvalidRequestError(field, f"expected more than {_MOST_NUMBERS} elements in raw_input_contents")
    if written == "<f4":
        return np.array(elements, written).tobytes()
    levels = np.array(elements, np.uint32)
    if levels.max(initial=0) > np.iinfo(written).max:
        raise InvalidRequestError(field, f"expected elements of {tensor.datatype}, got greater ones")
    return levels.astype(written).tobytes()


class Place:
    """A part of a region, in which a tensor is or shall be.

    Attributes:
        region: the region.
        offset: of the part in the region, in bytes.
        byte_size: of the part.
        field: names the tensor in errors.
    """

    def __init__(self, region: Region, offset: int, byte_size: int, field: str) -> None:
        self.region = region
        self.offset = offset
        self.byte_size = byte_size
        self.field = field
        region.check(offset, byte_size, f"{field}.{BYTE_SIZE}")

    def read(self) -> bytes:
        """The elements of the tensor there."""
        return self.region.read(self.offset, self.byte_size, self.field)

    def check(self, byte_size: int) -> None:
        """Refuse a tensor that has no room there.

        Raises:
            InvalidRequestError: naming the tensor.
        """
        if byte_size > self.byte_size:
            raise InvalidRequestError(
                f"{self.field}.{BYTE_SIZE}", f"expected {byte_size} or more for this output, got {self.byte_size}"
            )

    def write(self, content: bytes) -> None:
        """Put the elements of a tensor there."""
        self.check(len(content))
        self.region.write(self.offset, content, self.field)


def place_of(parameters: Mapping[str, inference.InferParameter], field: str, regions: SharedMemory) -> Place | None:
    """Where a tensor's parameters put it; None: into the message.

    Raises:
        InvalidRequestError: naming the parameter that is unknown or wrong.
        UnknownRegionError: the region is not registered.
    """
    for name in parameters:
        if name not in _PLACE_PARAMETERS:
            raise InvalidRequestError(f"{field}.{shown(name)}", f"unknown; there is {', '.join(_PLACE_PARAMETERS)}")
    if REGION not in parameters:
        return None
    if BYTE_SIZE not in parameters:
        raise InvalidRequestError(f"{field}.{BYTE_SIZE}", f"expected beside {REGION}, got none")
    return Place(
        regions.find(text(f"{field}.{REGION}", parameters[REGION])),
        whole_number(f"{field}.{OFFSET}", parameters[OFFSET]) if OFFSET in parameters else 0,
        whole_number(f"{field}.{BYTE_SIZE}", parameters[BYTE_SIZE]),
        field,
    )
