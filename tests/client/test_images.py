from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from medxgan.client import InvalidRequestError
from medxgan.client.images import image_message
from medxgan.v1 import bundle_pb2

NUMPY_TYPES = {
    bundle_pb2.DATA_TYPE_UINT8: "u1",
    bundle_pb2.DATA_TYPE_UINT16: "<u2",
    bundle_pb2.DATA_TYPE_FLOAT32: "<f4",
}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
DICOM_START = bytes(128) + b"DICM"


@given(
    npst.arrays(
        st.sampled_from(["u1", "<u2", ">u2", "<f4", ">f4"]),
        npst.array_shapes(min_dims=2, max_dims=3, max_side=7),
        elements={"allow_nan": False},
    ),
    st.booleans(),
)
def test_an_array_is_read_back_from_the_wire_whatever_its_memory_layout(array: np.ndarray, transposed: bool) -> None:
    array = array.T if transposed else array
    wire = image_message(array).tensor
    read = np.frombuffer(wire.data, NUMPY_TYPES[wire.data_type]).reshape(tuple(wire.shape))
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("dtype", ["int16", "int64", "float64", "bool", "complex64"])
def test_an_array_of_another_type_is_refused_by_field(dtype: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"expected uint8, uint16 or float32, got {dtype}") as caught:
        image_message(np.zeros((4, 4), dtype))
    assert caught.value.field == "image.tensor.data_type"


def test_a_file_is_told_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    misnamed = tmp_path / "scan.png"
    misnamed.write_bytes(DICOM_START + b"rest")
    assert image_message(misnamed).dicom == DICOM_START + b"rest"
    assert image_message(PNG_SIGNATURE).encoded == PNG_SIGNATURE
    assert image_message(DICOM_START).dicom == DICOM_START


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("left_out", ["nothing", "preamble", "preamble and prefix", "preamble, prefix and meta"])
def test_a_dicom_file_is_told_with_and_without_what_stands_before_it(syntax: UID, left_out: str) -> None:
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    bare, whole = BytesIO(), BytesIO()
    dataset.save_as(bare, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(whole, enforce_file_format=True)
    file = {
        "nothing": whole.getvalue(),
        "preamble": whole.getvalue()[128:],
        "preamble and prefix": whole.getvalue()[132:],
        "preamble, prefix and meta": bare.getvalue(),
    }[left_out]
    assert image_message(file).dicom == file


@pytest.mark.parametrize("signature", [PNG_SIGNATURE, b"\xff\xd8\xff\xe0", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"])
@given(st.binary(max_size=200).filter(lambda content: DICOM_START[128:] not in content))
def test_a_picture_is_sent_as_one(signature: bytes, content: bytes) -> None:
    assert image_message(signature + content).encoded == signature + content


@given(st.binary(max_size=200).filter(lambda content: b"DICM" not in content and 0 not in content[:2]))
def test_whatever_else_is_sent_as_it_is_for_the_server_to_judge(content: bytes) -> None:
    image = image_message(content)
    assert image.WhichOneof("form") == "encoded"
    assert image.encoded == content


def test_a_missing_file_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        image_message(tmp_path / "none.png")
