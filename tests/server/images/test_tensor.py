"""Raw tensors as they come over the wire."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medxgan.server.errors import ImageError, ImageTooLargeError
from medxgan.server.images.decoding import decode_image
from medxgan.server.images.limits import ImageLimits
from medxgan.v1.bundle_pb2 import DATA_TYPE_FLOAT32, DATA_TYPE_UINT8, DATA_TYPE_UINT16, DataType
from medxgan.v1.explanation_pb2 import Image, Tensor

LIMITS = ImageLimits(maximum_side=1000, maximum_pixels=10_000, maximum_decompressed_bytes=100_000)
DATA_TYPES = {np.dtype("u1"): DATA_TYPE_UINT8, np.dtype("<u2"): DATA_TYPE_UINT16, np.dtype("<f4"): DATA_TYPE_FLOAT32}
EIGHTHS = st.integers(-(2**20), 2**20).map(lambda number: number / 8)
"""Floating-point numbers that are neither so large nor so small that they would be scaled."""


def wire(values: np.ndarray, **replaced: object) -> Image:
    fields = {"shape": values.shape, "data_type": DATA_TYPES[values.dtype], "data": values.tobytes()} | replaced
    return Image(tensor=Tensor(**fields))


@given(
    st.sampled_from([np.dtype("u1"), np.dtype("<u2"), np.dtype("<f4")]).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            st.tuples(st.integers(2, 9), st.integers(1, 9)),  # [1, W, 1] would read as [1, H, W]
            elements=EIGHTHS if dtype.kind == "f" else None,
        )
    )
)
def test_a_grey_tensor_comes_through_as_it_is_in_every_layout(values: np.ndarray) -> None:
    for layout in (values, values[np.newaxis], values[..., np.newaxis]):
        picture = decode_image(wire(layout), LIMITS)
        assert picture.levels.dtype == np.float32
        np.testing.assert_array_equal(picture.levels, values)
        assert picture.notes == ()
        assert not picture.inverted


def test_a_colour_tensor_becomes_its_luma_and_says_so() -> None:
    colour = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [70, 70, 70]]], np.uint8)
    colour = np.concatenate([colour, colour])  # [2, 4, 3]: a first axis of 1 would read as [1, H, W]
    picture = decode_image(wire(colour), LIMITS)
    np.testing.assert_allclose(picture.levels, [[0.299 * 255, 0.587 * 255, 0.114 * 255, 70]] * 2, rtol=1e-6)
    assert picture.notes == ("colour was converted to grey",)


def test_tiny_levels_keep_their_contrast() -> None:
    picture = decode_image(wire(np.array([[0, 1e-9], [5e-10, 0]], "<f4")), LIMITS)
    np.testing.assert_allclose(picture.levels, [[0, 65535], [32767.5, 0]], rtol=1e-5)
    assert len(picture.notes) == 1


def test_a_picture_of_one_level_is_taken() -> None:
    assert decode_image(wire(np.full((4, 4), 7, np.uint8)), LIMITS).levels.std() == 0


GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize(
    ("image", "field"),
    [
        (wire(GREY, data=GREY.tobytes()[:-1]), "image.tensor.data"),
        (wire(GREY, data=GREY.tobytes() + b"\0"), "image.tensor.data"),
        (wire(GREY, data_type=DATA_TYPE_UINT16), "image.tensor.data"),
        (wire(GREY, data_type=DataType.Value("DATA_TYPE_UNSPECIFIED")), "image.tensor.data_type"),
        (wire(GREY, data_type=99), "image.tensor.data_type"),
        (wire(GREY, shape=[12]), "image.tensor.shape"),
        (wire(GREY, shape=[3, 2, 2]), "image.tensor.shape"),
        (wire(GREY, shape=[1, 1, 3, 4]), "image.tensor.shape"),
        (wire(GREY, shape=[0, 4], data=b""), "image.tensor.shape"),
        (wire(np.array([[0, np.nan]], "<f4")), "image.tensor.data"),
        (wire(np.array([[0, -np.inf]], "<f4")), "image.tensor.data"),
        (Image(), "image"),
    ],
)
def test_a_wrong_tensor_is_refused_by_field(image: Image, field: str) -> None:
    with pytest.raises(ImageError) as refusal:
        decode_image(image, LIMITS)
    assert refusal.value.field == field
    assert "expected" in str(refusal.value)


@pytest.mark.parametrize("shape", [(1001, 1), (101, 100), (2**31, 2**31)])
def test_a_tensor_over_a_limit_is_refused_by_its_shape_alone(shape: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLargeError) as refusal:
        decode_image(wire(GREY, shape=shape), LIMITS)
    assert refusal.value.field == "image.tensor.shape"
