"""An image comes as a file or as levels, as bytes or as numbers."""

import numpy as np
import pytest

from medxgan.server.errors import ImageError, ImageTooLargeError, InvalidRequestError, UnknownRegionError
from medxgan.server.open_inference.inputs import detached, image_of, image_place
from medxgan.server.open_inference.messages import inference
from medxgan.server.open_inference.shared_memory import SharedMemory
from medxgan.server.open_inference.tensors import bytes_tensor
from medxgan.v1 import bundle_pb2
from medxgan.v1.explanation_pb2 import Image

LEVELS = np.arange(12, dtype=np.uint8).reshape(3, 4)
DICOM = bytes(128) + b"DICM" + b"elements"


def request(datatype: str, shape: list[int], content: bytes | None = None, **fields: object):
    asked = inference.ModelInferRequest(model_name="chest")
    asked.inputs.add(name="image", datatype=datatype, shape=shape, **fields)
    if content is not None:
        asked.raw_input_contents.append(content)
    return asked


def read(asked) -> tuple[Image, bytes]:
    small, content = detached(asked)
    return image_of(small, content, image_place(small, SharedMemory(allowed=True), 2**20))


@pytest.mark.parametrize(
    ("datatype", "numpy_type", "data_type"),
    [
        ("UINT8", "u1", bundle_pb2.DATA_TYPE_UINT8),
        ("UINT16", "<u2", bundle_pb2.DATA_TYPE_UINT16),
        ("FP32", "<f4", bundle_pb2.DATA_TYPE_FLOAT32),
    ],
)
@pytest.mark.parametrize("shape", [[3, 4], [1, 3, 4], [3, 4, 1]])
def test_levels_come_as_bytes_or_as_numbers(datatype: str, numpy_type: str, data_type: int, shape: list[int]) -> None:
    content = LEVELS.astype(numpy_type).tobytes()
    numbers = {"fp32_contents" if datatype == "FP32" else "uint_contents": LEVELS.flatten().tolist()}
    for asked in (request(datatype, shape, content), request(datatype, shape, contents=numbers)):
        image, data = read(asked)
        assert data == content
        assert (image.tensor.data_type, list(image.tensor.shape)) == (data_type, shape)


def test_a_batch_of_one_colour_image_is_one_image() -> None:
    image, _ = read(request("UINT8", [1, 2, 2, 3], bytes(12)))
    assert list(image.tensor.shape) == [2, 2, 3]


@pytest.mark.parametrize(
    ("file", "form"),
    [(DICOM, "dicom"), (DICOM[128:], "dicom"), (b"\x08\0\x16\0rest", "dicom"), (b"\x89PNG", "encoded")],
)
@pytest.mark.parametrize("shape", [[1], [1, 1]])
def test_a_file_is_told_by_its_content(file: bytes, form: str, shape: list[int]) -> None:
    for asked in (
        request("BYTES", shape, bytes_tensor([file])),
        request("BYTES", shape, contents={"bytes_contents": [file]}),
    ):
        image, content = read(asked)
        assert (image.WhichOneof("form"), content) == (form, file)


def test_the_bytes_are_apart_and_the_rest_stays() -> None:
    asked = request("UINT8", [1000, 1000], bytes(10**6))
    asked.id = "7"
    small, content = detached(asked)
    assert len(content) == 10**6
    assert (small.id, small.ByteSize() < 100) == ("7", True)
    assert detached(inference.ServerLiveRequest()) == (inference.ServerLiveRequest(), b"")


@pytest.mark.parametrize("content", [None, bytes(12)])
def test_fields_that_the_server_does_not_know_are_not_kept(content: bytes | None) -> None:
    unknown = b"\xfa\x3e" + bytes([0x80, 0x80, 0x01]) + bytes(2**14)
    asked = request("UINT8", [3, 4], content).SerializeToString() + unknown
    small, _ = detached(inference.ModelInferRequest.FromString(asked))
    assert small.ByteSize() < 100


@pytest.mark.parametrize("field", ["id", "model_name"])
def test_what_every_response_repeats_is_short(field: str) -> None:
    asked = request("UINT8", [3, 4], bytes(12))
    setattr(asked, field, "é" * 256)
    assert getattr(detached(asked)[0], field) == "é" * 256
    setattr(asked, field, "x" * 257)
    with pytest.raises(InvalidRequestError, match=f"^{field}: expected at most 256 characters, got 257"):
        detached(asked)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (request("FP64", [3, 4], bytes(96)), r"inputs.image: expected BYTES \[1\].*, got FP64 \[3, 4\]"),
        (request("BYTES", [2], bytes_tensor([b"a", b"b"])), r"got BYTES \[2\]"),
        (request("BYTES", [1], b"file without its length"), "expected one element after its length"),
        (request("BYTES", [1], bytes_tensor([b"a", b"b"])), "expected one element after its length"),
        (request("BYTES", [1], b"abc"), "expected one element after its length"),
        (request("BYTES", [1], bytes_tensor([b""])), "got an empty file"),
        (request("UINT8", [12], bytes(12)), r"got UINT8 \[12\]"),
        (request("UINT8", [2, 3, 4], None), "expected its elements once"),
        (request("UINT8", [-3, 4], bytes(12)), r"got UINT8 \[-3, 4\]"),
        (request("UINT8", [2**33, 4], bytes(12)), "inputs.image"),
        (request("UINT8", [2, 2, 3, 4], bytes(48)), r"got UINT8 \[2, 2, 3, 4\]"),
        (
            request("UINT8", [3, 4], contents={"fp32_contents": [1.0] * 12}),
            "expected the contents of UINT8",
        ),
        (
            request("UINT8", [1, 2], contents={"uint_contents": [1, 256]}),
            "expected elements of UINT8",
        ),
        (request("FP16", [1, 2], contents={"uint_contents": [1, 2]}), "expected the contents of FP16, got others"),
        (request("UINT8", [3, 4], bytes(12), contents={"uint_contents": [1]}), "expected its elements once"),
        (inference.ModelInferRequest(), "inputs: expected one input, image, got none"),
    ],
)
def test_another_image_is_refused_with_what_was_expected(asked, text: str) -> None:
    with pytest.raises(InvalidRequestError, match=text):
        read(asked)


def test_another_input_is_refused_by_name() -> None:
    asked = request("UINT8", [3, 4], bytes(12))
    asked.inputs[0].name = "film"
    with pytest.raises(InvalidRequestError, match="expected one input, image, got film"):
        read(asked)
    asked.inputs.add(name="image", datatype="UINT8", shape=[3, 4])
    with pytest.raises(InvalidRequestError, match="got film, image"):
        read(asked)


def test_more_numbers_than_are_taken_have_to_come_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medxgan.server.open_inference.tensors._MOST_NUMBERS", 11)
    with pytest.raises(InvalidRequestError, match="raw_input_contents"):
        read(request("UINT8", [3, 4], contents={"uint_contents": [1] * 12}))


def test_what_is_wrong_with_a_place_in_shared_memory_is_said(tmp_path) -> None:
    (tmp_path / "film").write_bytes(bytes(64))
    regions = SharedMemory(allowed=True, folder=tmp_path)
    regions.register("films", "film", 16, 48)

    def place(byte_size: int = 12, offset: int = 0, region: str = "films", maximum_bytes: int = 48, **others: int):
        asked = request("UINT8", [3, 4])
        parameters = asked.inputs[0].parameters
        parameters["shared_memory_region"].string_param = region
        parameters["shared_memory_byte_size"].int64_param = byte_size
        parameters["shared_memory_offset"].int64_param = offset
        for name, value in others.items():
            parameters[name].int64_param = value
        return image_place(asked, regions, maximum_bytes)

    assert place(48).read() == bytes(48)
    with pytest.raises(UnknownRegionError, match="no region other of system shared memory"):
        place(region="other")
    for byte_size, offset in ((12, -1), (-1, 0)):
        with pytest.raises(InvalidRequestError, match="expected 0 or more, got -1"):
            place(byte_size, offset)
    for byte_size, offset in ((49, 0), (12, 37), (2**62, 2**62)):
        with pytest.raises(InvalidRequestError, match=r"inputs\.image\.shared_memory_byte_size: expected a part of"):
            place(byte_size, offset)
    with pytest.raises(ImageTooLargeError, match="expected at most 47 bytes, got 48"):
        place(48, maximum_bytes=47)
    with pytest.raises(InvalidRequestError, match=r"inputs\.image\.binary_data: unknown"):
        place(binary_data=1)
    asked = request("UINT8", [3, 4])
    asked.inputs[0].parameters["shared_memory_region"].string_param = "films"
    with pytest.raises(InvalidRequestError, match="expected beside shared_memory_region, got none"):
        image_place(asked, regions, 48)
    asked.inputs[0].parameters["shared_memory_byte_size"].double_param = 12
    with pytest.raises(InvalidRequestError, match="shared_memory_byte_size: expected a whole number"):
        image_place(asked, regions, 48)
    asked.inputs[0].parameters["shared_memory_byte_size"].uint64_param = 12
    asked.inputs[0].parameters["shared_memory_region"].int64_param = 7
    with pytest.raises(InvalidRequestError, match="shared_memory_region: expected a string"):
        image_place(asked, regions, 48)
    with pytest.raises(ImageError, match="got UINT8"):
        image_of(request("UINT8", [12]), b"", place())
