"""An image as a request brought it, of which nothing but the image itself is large."""

import hashlib
from typing import cast

from medxgan.server.errors import ImageError
from medxgan.server.images.film import MOST_ELONGATED, PixelSpacing, has_pixel_shape
from medxgan.v1 import explanation_pb2


class SentImage:
    """An image whose bytes are held apart from its message, and are dropped once they are taken.

    A message of protobuf keeps the memory of what is cleared in it for as long as any part of it lives.

    Attributes:
        form: "tensor", "encoded", "dicom", or "" where there is none.
        tensor: shape and element type, where the form is "tensor".
        frame: the frame asked for, from 1; 0 where none was.
        spacing: of the pixels, where it came beside the image.
        size: bytes of the file or of the tensor's elements.

    Args:
        image: the message. Whatever bytes it holds are not looked at.
        content: the file, or the tensor's elements.
    """

    def __init__(self, image: explanation_pb2.Image, content: bytes) -> None:
        self.form = image.WhichOneof("form") or ""
        self.tensor = image.tensor
        self.frame = image.frame
        self.spacing: PixelSpacing | None = None
        if image.HasField("pixel_spacing"):
            self.spacing = PixelSpacing(image.pixel_spacing.row_mm, image.pixel_spacing.column_mm)
        self.size = len(content)
        self._content = content

    @classmethod
    def of(cls, image: explanation_pb2.Image) -> "SentImage":
        """The image of a message that holds its bytes itself."""
        return cls(image, bytes_of(image))

    def check(self) -> None:
        """Refuse what makes no sense before anything is read.

        Raises:
            ImageError: there is no image, or a pixel spacing beside a DICOM file or of no pixel that there is.
        """
        if not self.form:
            raise ImageError("image", "expected one of tensor, encoded or dicom")
        if self.form == "dicom" and self.spacing is not None:
            raise ImageError("image.pixel_spacing", "expected none with a DICOM file, which states its own")
        if self.spacing is not None and not has_pixel_shape(self.spacing.row_mm, self.spacing.column_mm):
            raise ImageError(
                "image.pixel_spacing", f"expected one side of a pixel at most {MOST_ELONGATED} times the other"
            )

    def sha256(self) -> str:
        """Of the file, or of the tensor's elements, in hexadecimal, before they are taken."""
        return hashlib.sha256(self._content).hexdigest()

    def take(self) -> bytes:
        """The file, or the tensor's elements, which are kept here no longer."""
        content, self._content = self._content, b""
        return content


def bytes_of(image: explanation_pb2.Image) -> bytes:
    """The file, or the tensor's elements, of a message; empty where it has none."""
    form = image.WhichOneof("form")
    if form is None:
        return b""
    return image.tensor.data if form == "tensor" else cast("bytes", getattr(image, form))
