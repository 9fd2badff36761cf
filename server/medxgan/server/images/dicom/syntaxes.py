"""The transfer syntaxes that are read, and what decodes the pixels of each. docs/images.md is checked against it."""

from enum import Enum

from pydicom.uid import UID


class Codec(Enum):
    """What turns the bytes of one frame into stored values."""

    NATIVE = "pydicom"
    RLE = "imagecodecs (PackBits)"
    JPEG = "imagecodecs (libjpeg-turbo)"
    JPEG_LS = "imagecodecs (CharLS)"
    JPEG_2000 = "imagecodecs (OpenJPEG)"
    HTJ2K = "imagecodecs (OpenJPH)"
    JPEG_XL = "imagecodecs (libjxl)"


_DICOM = "1.2.840.10008.1.2"

CODECS: dict[UID, Codec] = {
    UID(_DICOM): Codec.NATIVE,
    UID(f"{_DICOM}.1"): Codec.NATIVE,
    UID(f"{_DICOM}.1.99"): Codec.NATIVE,
    UID(f"{_DICOM}.2"): Codec.NATIVE,
    UID(f"{_DICOM}.5"): Codec.RLE,
    UID(f"{_DICOM}.4.50"): Codec.JPEG,
    UID(f"{_DICOM}.4.51"): Codec.JPEG,
    UID(f"{_DICOM}.4.53"): Codec.JPEG,
    UID(f"{_DICOM}.4.55"): Codec.JPEG,
    UID(f"{_DICOM}.4.57"): Codec.JPEG,
    UID(f"{_DICOM}.4.70"): Codec.JPEG,
    UID(f"{_DICOM}.4.80"): Codec.JPEG_LS,
    UID(f"{_DICOM}.4.81"): Codec.JPEG_LS,
    UID(f"{_DICOM}.4.90"): Codec.JPEG_2000,
    UID(f"{_DICOM}.4.91"): Codec.JPEG_2000,
    UID(f"{_DICOM}.4.110"): Codec.JPEG_XL,
    UID(f"{_DICOM}.4.111"): Codec.JPEG_XL,
    UID(f"{_DICOM}.4.112"): Codec.JPEG_XL,
    UID(f"{_DICOM}.4.201"): Codec.HTJ2K,
    UID(f"{_DICOM}.4.202"): Codec.HTJ2K,
    UID(f"{_DICOM}.4.203"): Codec.HTJ2K,
}
