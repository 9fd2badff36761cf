"""A request does not hold the bytes of its image while it is answered."""

import pytest

from medxgan.server.images.sent import SentImage
from medxgan.server.wire.detaching import detached
from medxgan.server.wire.validation import validate
from medxgan.v1 import bundle_pb2
from medxgan.v1.explanation_pb2 import ClassifyRequest, ExplainRequest, Image, ListModelsRequest, PixelSpacing, Tensor

CONTENT = bytes(range(256)) * 1000


@pytest.mark.parametrize("form", ["encoded", "dicom", "tensor"])
def test_the_bytes_are_apart_and_the_rest_stays(form: str) -> None:
    tensor = Tensor(shape=[2, 3], data_type=bundle_pb2.DATA_TYPE_UINT8, data=CONTENT)
    image = Image(**{form: tensor if form == "tensor" else CONTENT}, frame=2)
    image.pixel_spacing.CopyFrom(PixelSpacing(row_mm=2, column_mm=1))
    request = ExplainRequest(image=image)
    request.settings.seed = 7
    small, content = detached(request)
    assert content == CONTENT
    assert small.ByteSize() < 100
    assert small.settings.seed == 7
    validate(small)
    sent = SentImage(small.image, content)
    assert (sent.form, sent.frame, sent.size) == (form, 2, len(CONTENT))
    assert sent.spacing.row_mm == 2
    assert list(sent.tensor.shape) == ([2, 3] if form == "tensor" else [])
    assert sent.take() == CONTENT
    assert sent.take() == b""


def test_fields_that_the_server_does_not_know_are_not_kept() -> None:
    unknown = b"\xfa\x3e" + bytes([0x80, 0x80, 0x01]) + bytes(2**14)
    for request in (ExplainRequest(image=Image(encoded=CONTENT)), ClassifyRequest(), ListModelsRequest()):
        sent = type(request).FromString(request.SerializeToString() + unknown)
        assert sent.ByteSize() > 2**14
        small, _ = detached(sent)
        assert small.ByteSize() < 100


@pytest.mark.parametrize("request_", [ClassifyRequest(), ClassifyRequest(image=Image()), ListModelsRequest()])
def test_what_has_no_bytes_is_left_alone(request_) -> None:
    assert detached(request_) == (request_, b"")


def test_an_image_without_bytes_is_still_refused_as_such() -> None:
    small, content = detached(ClassifyRequest(image=Image(encoded=b"")))
    assert (small.image.encoded, content) == (b"", b"")
