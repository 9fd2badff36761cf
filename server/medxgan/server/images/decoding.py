"""An image in any of its forms to a grey film."""

from dataclasses import replace

from medxgan.server.errors import ImageError, UnsupportedError
from medxgan.server.images.film import Film, PixelSpacing
from medxgan.server.images.frames import frame_index
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.tensor import decode_tensor
from medxgan.v1 import explanation_pb2


def decode_image(image: explanation_pb2.Image, limits: ImageLimits) -> Film:
    """Decode an image in this process.

    A file may take seconds, and one that means harm may take all memory or end the process: a server gives files to
    `workers.pool.DecoderPool`.

    Args:
        image: in any form; a frame or pixel spacing that the form can't have is refused.
        limits: the largest image taken.

    Raises:
        ImageError: if the image can't be read, naming the field and what was expected.
        ImageTooLargeError: if the image is over a limit, before it is decompressed.
        UnsupportedError: if this installation has no reader for the form.
    """
    form = image.WhichOneof("form")
    if form is None:
        raise ImageError("image", "expected one of tensor, encoded or dicom")
    if form == "tensor":
        frame_index(1, image.frame)
        film = decode_tensor(image.tensor, limits)
    else:
        film = decode_file(form, image.encoded if form == "encoded" else image.dicom, image.frame, limits)
    return with_stated_spacing(film, image)


def decode_file(form: str, content: bytes, frame: int, limits: ImageLimits) -> Film:
    """Decode a file.

    Args:
        form: "encoded" or "dicom", the field of the image that holds it.
        content: the file.
        frame: the frame to read, from 1; 0 where none was asked for.
        limits: the largest image taken.

    Raises:
        As `decode_image`.
    """
    # Each form has libraries of its own, which the other does without.
    try:
        if form == "encoded":
            from medxgan.server.images.encoded.decoding import decode_encoded

            return decode_encoded(content, frame, limits)
        from medxgan.server.images.dicom.decoding import decode_dicom

        return decode_dicom(content, frame, limits)
    except ModuleNotFoundError as error:
        if error.name != "pydicom":
            raise
        raise UnsupportedError("image.dicom: reading DICOM needs pydicom: pip install 'medxgan[dicom]'") from error


def with_stated_spacing(film: Film, image: explanation_pb2.Image) -> Film:
    """A film with the pixel spacing that came beside its image.

    Raises:
        ImageError: if the image is a DICOM object.
    """
    if not image.HasField("pixel_spacing"):
        return film
    if image.HasField("dicom"):
        raise ImageError("image.pixel_spacing", "expected none with a DICOM file, which states its own")
    spacing = PixelSpacing(image.pixel_spacing.row_mm, image.pixel_spacing.column_mm)
    return replace(film, spacing=spacing, pixel_aspect=spacing.row_mm / spacing.column_mm)
