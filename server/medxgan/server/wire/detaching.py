"""A request and the bytes of its image, apart."""

import copy

from google.protobuf.message import Message

from medxgan.server.images.sent import bytes_of
from medxgan.v1 import explanation_pb2

STAND_IN = b"\0"
"""What stands in a request for the bytes of its image, so that it is still an image with bytes."""


def detached(request: Message) -> tuple[Message, bytes]:
    """A copy of a request with a stand-in for its image's bytes, and these bytes.

    A request lives until it is answered, and a message of protobuf keeps the memory of what is cleared in it for as
    long as any part of it lives. Besides, checking it would copy the bytes once more. Nor does the copy have fields
    that this server does not know.
    """
    request.DiscardUnknownFields()  # type: ignore[attr-defined]
    if not isinstance(request, explanation_pb2.ExplainRequest | explanation_pb2.ClassifyRequest):
        return copy.deepcopy(request), b""
    image = request.image
    content = bytes_of(image)
    if not content:
        return copy.deepcopy(request), b""
    form = image.WhichOneof("form")
    if form == "tensor":
        image.tensor.data = STAND_IN
    else:
        setattr(image, form, STAND_IN)
    return copy.deepcopy(request), content
