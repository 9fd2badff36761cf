"""What a request says of its image beside the bytes."""

import pytest

from medxgan.server.errors import ImageError
from medxgan.server.images.sent import SentImage
from medxgan.v1.explanation_pb2 import Image, PixelSpacing


@pytest.mark.parametrize("row", [1e-60, 17, 1e200])
def test_a_pixel_that_there_is_not_is_refused(row: float) -> None:
    image = Image(encoded=b"PNG", pixel_spacing=PixelSpacing(row_mm=row, column_mm=1))
    with pytest.raises(ImageError, match=r"^image\.pixel_spacing: expected one side of a pixel at most 16 times"):
        SentImage.of(image).check()


def test_a_dicom_object_states_its_own_spacing() -> None:
    image = Image(dicom=b"DICM", pixel_spacing=PixelSpacing(row_mm=1, column_mm=1))
    with pytest.raises(ImageError, match=r"^image\.pixel_spacing: expected none with a DICOM file"):
        SentImage.of(image).check()
