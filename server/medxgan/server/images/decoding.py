"""An image in any of its forms to a grey picture."""

from medxgan.server.errors import ImageError, UnsupportedError
from medxgan.server.images.encoded import decode_encoded
from medxgan.server.images.grey import GreyImage
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.tensor import decode_tensor
from medxgan.v1 import explanation_pb2


def decode_image(image: explanation_pb2.Image, limits: ImageLimits) -> GreyImage:
    """Decode an image. Takes up to seconds for a large one: call it off the event loop.

    Raises:
        ImageError: if the image can't be read, naming the field and what was expected.
        ImageTooLargeError: if the image is over a limit, before it is decompressed.
        UnsupportedError: if this installation has no reader for the form.
    """
    match image.WhichOneof("form"):
        case "tensor":
            return decode_tensor(image.tensor, limits)
        case "encoded":
            return decode_encoded(image.encoded, limits)
        case "dicom":
            return _decode_dicom(image.dicom, limits)
        case _:
            raise ImageError("image", "expected one of tensor, encoded or dicom")


def _decode_dicom(content: bytes, limits: ImageLimits) -> GreyImage:
    try:
        from medxgan.server.images.dicom import decode_dicom
    except ModuleNotFoundError as error:
        if error.name != "pydicom":
            raise
        raise UnsupportedError("image.dicom: reading DICOM needs pydicom: pip install 'medxgan[dicom]'") from error
    return decode_dicom(content, limits)
