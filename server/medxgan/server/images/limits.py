"""How large an image may be, asked before anything is decoded."""

from dataclasses import dataclass

from medxgan.server.errors import ImageTooLargeError


@dataclass(frozen=True)
class ImageLimits:
    """The largest image that the server takes.

    Attributes:
        maximum_side: most pixels along a side; preprocessing takes memory for each.
        maximum_pixels: most pixels (height times width).
        maximum_decompressed_bytes: most bytes that a compressed image may unfold to.
    """

    maximum_side: int
    maximum_pixels: int
    maximum_decompressed_bytes: int

    def check(self, field: str, height: int, width: int, bytes_per_pixel: int) -> None:
        """Refuse an image by the size that its header states.

        Args:
            field: path of the request's field that holds the image.
            height: rows.
            width: columns.
            bytes_per_pixel: bytes of all samples of one pixel, decompressed.

        Raises:
            ImageTooLargeError: if the image is over a limit.
        """
        if max(height, width) > self.maximum_side:
            raise ImageTooLargeError(
                field, f"expected at most {self.maximum_side} pixels a side, got {height} x {width}"
            )
        if height * width > self.maximum_pixels:
            raise ImageTooLargeError(field, f"expected at most {self.maximum_pixels} pixels, got {height} x {width}")
        if (unfolded := height * width * bytes_per_pixel) > self.maximum_decompressed_bytes:
            raise ImageTooLargeError(
                field, f"expected at most {self.maximum_decompressed_bytes} bytes when decompressed, got {unfolded}"
            )
