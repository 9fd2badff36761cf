"""What the header of a codestream states, which is read before anything is decompressed."""

import io

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from medxgan.server.images.codestream import Codestream, read_codestream


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["JPEG", "JPEG2000"]))
def test_a_codestream_states_its_own_size(height: int, width: int, form: str) -> None:
    file = io.BytesIO()
    options = {"no_jp2": True} if form == "JPEG2000" else {"comment": b"a segment to walk past"}
    PillowImage.new("L", (width, height)).save(file, form, **options)
    stated = read_codestream(file.getvalue())
    assert stated is not None
    assert (stated.height, stated.width, stated.precision, stated.samples) == (height, width, 8, 1)
    assert read_codestream(b"\xff\xff" + file.getvalue()) is None


@given(st.integers(1, 700), st.integers(1, 700), st.booleans())
def test_a_jpeg_xl_codestream_states_its_own_size(height: int, width: int, boxed: bool) -> None:
    encoded = imagecodecs.jpegxl_encode(np.zeros((height, width), np.uint8), effort=1, usecontainer=boxed)
    assert read_codestream(encoded) == Codestream(height, width, precision=8)


def test_a_jp2_file_states_the_size_of_its_codestream() -> None:
    file = io.BytesIO()
    PillowImage.new("L", (7, 5)).save(file, "JPEG2000")
    stated = read_codestream(file.getvalue())
    assert stated is not None
    assert (stated.height, stated.width) == (5, 7)


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("shape", [(5, 7), (64, 64), (300, 400)])
def test_the_header_of_jpeg_xl_states_its_bits(bits: int, shape: tuple[int, int]) -> None:
    values = np.zeros(shape, np.uint8 if bits == 8 else np.uint16)
    stated = read_codestream(imagecodecs.jpegxl_encode(values, lossless=True, bitspersample=bits))
    assert (stated.height, stated.width, stated.precision) == (*shape, bits)
