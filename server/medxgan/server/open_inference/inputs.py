"""The image of a request: a file as one element of BYTES, or its levels as a tensor."""

import copy

from google.protobuf.message import Message

from medxgan.server.errors import ImageError, ImageTooLargeError, InvalidRequestError, shown
from medxgan.server.images.dicom_start import dicom_start
from medxgan.server.open_inference.messages import inference
from medxgan.server.open_inference.models import IMAGE
from medxgan.server.open_inference.shared_memory import SharedMemory
from medxgan.server.open_inference.tensors import Place, only_element, place_of, typed_contents
from medxgan.server.wire.detaching import STAND_IN
from medxgan.v1 import bundle_pb2, explanation_pb2

FIELD = f"inputs.{IMAGE}"

_DATA_TYPES = {
    "UINT8": bundle_pb2.DATA_TYPE_UINT8,
    "UINT16": bundle_pb2.DATA_TYPE_UINT16,
    "FP32": bundle_pb2.DATA_TYPE_FLOAT32,
}
_EXPECTED = "expected BYTES [1], a PNG, JPEG, TIFF or DICOM file, or UINT8, UINT16 or FP32 [H, W], grey levels"
_LARGEST_EXTENT = 2**32 - 1
_MOST_CHARACTERS = 256


def detached(request: Message) -> tuple[Message, bytes]:
    """A copy of a request with a stand-in for its image's bytes, and these bytes, as `wire.detaching.detached`.

    Raises:
        InvalidRequestError: the contents of the image are not of its type, or a text that responses repeat is too long.
    """
    request.DiscardUnknownFields()  # type: ignore[attr-defined]
    if not isinstance(request, inference.ModelInferRequest):
        return copy.deepcopy(request), b""
    for field in ("id", "model_name"):
        if (length := len(getattr(request, field))) > _MOST_CHARACTERS:
            raise InvalidRequestError(field, f"expected at most {_MOST_CHARACTERS} characters, got {length}")
    if not request.inputs:
        return copy.deepcopy(request), b""
    first = request.inputs[0]
    if request.raw_input_contents:
        content = request.raw_input_contents[0]
        request.raw_input_contents[0] = STAND_IN
    elif first.HasField("contents"):
        content = typed_contents(first, FIELD)
        first.ClearField("contents")
        request.raw_input_contents.append(STAND_IN)
    else:
        return copy.deepcopy(request), b""
    return copy.deepcopy(request), content


def image_place(request: inference.ModelInferRequest, regions: SharedMemory, maximum_bytes: int) -> Place | None:
    """Where in shared memory the image of a request is; None: it is in the request.

    Args:
        request: with a stand-in for the bytes of its image.
        regions: of shared memory.
        maximum_bytes: of an image.

    Raises:
        InvalidRequestError: there is not this one input, or its elements are not in one place.
        UnknownRegionError: its region is not registered.
        ImageTooLargeError: it has more bytes than an image may have.
    """
    names = [tensor.name for tensor in request.inputs]
    if names != [IMAGE]:
        listed = ", ".join(shown(name) for name in names[:8]) or "none"
        raise InvalidRequestError("inputs", f"expected one input, {IMAGE}, got {listed}")
    (tensor,) = request.inputs
    place = place_of(tensor.parameters, FIELD, regions)
    if len(request.raw_input_contents) != (0 if place else 1) or tensor.HasField("contents"):
        raise InvalidRequestError(FIELD, "expected its elements once, in the message or in shared memory")
    if place is not None and place.byte_size > maximum_bytes:
        raise ImageTooLargeError(FIELD, f"expected at most {maximum_bytes} bytes, got {place.byte_size}")
    return place


def image_of(
    request: inference.ModelInferRequest, content: bytes, place: Place | None
) -> tuple[explanation_pb2.Image, bytes]:
    """The image of a request, and its bytes apart.

    Args:
        request: as `image_place` took it.
        content: the elements of its input.
        place: in shared memory where they are instead.

    Raises:
        InvalidRequestError: its region was shortened.
        ImageError: it is of another type or shape.
    """
    (tensor,) = request.inputs
    if place is not None:
        content = place.read()
    shape = tuple(tensor.shape)
    if tensor.datatype == "BYTES":
        if shape not in ((1,), (1, 1)):
            raise ImageError(FIELD, f"{_EXPECTED}, got BYTES {list(shape[:8])}")
        return _file(only_element(content, FIELD))
    data_type = _DATA_TYPES.get(tensor.datatype)
    # A batch of one is one image; that of a colour image has 4 axes.
    extents = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
    if data_type is None or len(extents) not in (2, 3) or not all(1 <= each <= _LARGEST_EXTENT for each in extents):
        raise ImageError(FIELD, f"{_EXPECTED}, got {shown(tensor.datatype)} {list(shape[:8])}")
    levels = explanation_pb2.Tensor(shape=extents, data_type=data_type, data=STAND_IN)
    return explanation_pb2.Image(tensor=levels), content


def _file(content: bytes) -> tuple[explanation_pb2.Image, bytes]:
    if not content:
        raise ImageError(FIELD, f"{_EXPECTED}, got an empty file")
    if dicom_start(content) is not None:
        return explanation_pb2.Image(dicom=STAND_IN), content
    return explanation_pb2.Image(encoded=STAND_IN), content
