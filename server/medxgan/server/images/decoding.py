"""An image in any of its forms to a grey film."""

from dataclasses import replace

from medxgan.server.errors import UnsupportedError
from medxgan.server.images.film import RESOLUTION_NOTE, Film, PixelSpacing
from medxgan.server.images.frames import frame_index
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.sent import SentImage
from medxgan.server.images.tensor import decode_tensor
from medxgan.v1 import explanation_pb2


def decode_image(image: explanation_pb2.Image, limits: ImageLimits) -> Film:
    """Decode an image in this process.

    A file may take seconds, and one that means harm may take all memory or end the process: a server gives files to
    `workers.pool.DecoderPool`.

    Args:
        image: in any form; a frame or pixel spacing that the form can't have is refused.
        limits: the largest image taken.

    Returns:
        The film, its levels in float32.

    Raises:
        ImageError: if the image can't be read, naming the field and what was expected.
        ImageTooLargeError: if the image is over a limit, before it is decompressed.
        UnsupportedError: if this installation has no reader for the form.
    """
    sent = SentImage.of(image)
    sent.check()
    film = (
        decode_sent_tensor(sent, limits)
        if sent.form == "tensor"
        else decode_file(sent.form, sent.take(), sent.frame, sent.spacing, limits)
    )
    return film.in_single_precision()


def decode_sent_tensor(sent: SentImage, limits: ImageLimits) -> Film:
    """Decode a tensor; its bytes are taken.

    Raises:
        ImageError: if it is not what it says, or a frame is asked for.
        ImageTooLargeError: if it is over a limit.
    """
    frame_index(1, sent.frame)
    return with_stated_spacing(decode_tensor(sent.tensor, sent.take(), limits), sent.spacing)


def decode_file(form: str, content: bytes, frame: int, spacing: PixelSpacing | None, limits: ImageLimits) -> Film:
    """Decode a file.

    Args:
        form: "encoded" or "dicom", the field of the image that holds it.
        content: the file.
        frame: the frame to read, from 1; 0 where none was asked for.
        spacing: of its pixels, where it came beside the file.
        limits: the largest image taken.

    Returns:
        The film, levels of at most 16 bits as they are stored.

    Raises:
        As `decode_image`.
    """
    # Each form has libraries of its own, which the other does without.
    try:
        if form == "encoded":
            from medxgan.server.images.encoded.decoding import decode_encoded

            return with_stated_spacing(decode_encoded(content, frame, limits), spacing)
        from medxgan.server.images.dicom.decoding import decode_dicom

        return decode_dicom(content, frame, limits)
    except ModuleNotFoundError as error:
        if error.name != "pydicom":
            raise
        raise UnsupportedError("image.dicom: reading DICOM needs pydicom: pip install 'medxgan[dicom]'") from error


def with_stated_spacing(film: Film, spacing: PixelSpacing | None) -> Film:
    """A film with the pixel spacing that came beside its image, if one did."""
    if spacing is None:
        return film
    notes = tuple(note for note in film.notes if note != RESOLUTION_NOTE)
    return replace(film, spacing=spacing, pixel_aspect=spacing.row_mm / spacing.column_mm, notes=notes)
