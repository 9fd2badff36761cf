"""A DICOM object as it came in: read as far as its way is decided, and found whole."""

import hashlib
import io
import math
import zlib
from dataclasses import dataclass

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

LARGEST_BYTES = 512 * 2**20

_META_OFFSET, _META_GROUP = 132, 2
"""Where the file meta information begins, which is never deflated (PS3.10, 7.1)."""
_UNDEFINED_LENGTH = 0xFFFFFFFF
_DELIMITER_BYTES = 8
_PIXELS = pydicom.tag.Tag("PixelData")


class UnreadableError(Exception):
    """No whole DICOM object; the text is ours, and holds nothing of the object."""


class TooLargeError(Exception):
    """A DICOM object that is larger than what is taken."""


@dataclass(frozen=True)
class IncomingObject:
    """An object that is whole.

    Attributes:
        content: the DICOM file, as it came.
        dataset: its attributes.
        sop_instance_uid: of the object.
        sop_class_uid: of the object.
        pixels_sha256: of its pixel data as it came; empty where there is none.
    """

    content: bytes
    dataset: Dataset
    sop_instance_uid: str
    sop_class_uid: str
    pixels_sha256: str


def read(content: bytes, largest_bytes: int = LARGEST_BYTES) -> IncomingObject:
    """Read a DICOM file.

    Args:
        content: the file.
        largest_bytes: of it, and of what a deflated one becomes.

    Raises:
        TooLargeError: it is larger.
        UnreadableError: it is none, or it ends too soon.
    """
    if len(content) > largest_bytes:
        raise TooLargeError
    try:
        _check_inflated(content, largest_bytes)
        dataset = pydicom.dcmread(io.BytesIO(content))
        _check_end(dataset, len(content))
        sop_instance_uid, sop_class_uid = str(dataset.SOPInstanceUID), str(dataset.SOPClassUID)
        pixels = _pixels(dataset)
    except (TooLargeError, UnreadableError):
        raise
    except Exception as error:  # a damaged object fails in whatever way pydicom does
        raise UnreadableError("not a DICOM object that can be read") from error
    if not (UID(sop_instance_uid).is_valid and UID(sop_class_uid).is_valid):
        raise UnreadableError("SOPInstanceUID or SOPClassUID is not a UID")
    digest = "" if pixels is None else hashlib.sha256(pixels).hexdigest()
    return IncomingObject(content, dataset, sop_instance_uid, sop_class_uid, digest)


def _check_inflated(content: bytes, largest_bytes: int) -> None:
    """Refuse a deflated object that would not fit, before pydicom inflates it whole."""
    file = io.BytesIO(content)
    file.seek(_META_OFFSET)
    meta = read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != _META_GROUP)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(), largest_bytes + 1)
        if len(inflated) > largest_bytes:
            raise TooLargeError


def _check_end(dataset: Dataset, size: int) -> None:
    """Refuse what was cut off, which pydicom reads without a word: the last element says where it should have ended."""
    if dataset.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        return
    if not dataset.keys():
        raise UnreadableError("the object has no attributes")
    last = dataset.get_item(max(dataset.keys()))
    if not isinstance(last, RawDataElement):
        return
    if last.length == _UNDEFINED_LENGTH:
        end = last.value_tell + len(last.value or b"") + _DELIMITER_BYTES
    else:
        end = last.value_tell + last.length
    # A file may be padded by a byte; more is the beginning of an element that has no end.
    if not size - 1 <= end <= size:
        raise UnreadableError("the object ends too soon")


def _pixels(dataset: Dataset) -> bytes | None:
    element = dataset.get_item(_PIXELS)
    if element is None:
        return None
    pixels = bytes(element.value or b"")
    if not dataset.file_meta.TransferSyntaxUID.is_compressed:
        frames = int(dataset.get("NumberOfFrames", 1) or 1)
        bits = int(dataset.BitsAllocated) * int(dataset.SamplesPerPixel) * int(dataset.Rows) * int(dataset.Columns)
        # The second of two chroma samples is left out, so that two thirds are the least.
        least = bits * frames * (2 / 3 if dataset.PhotometricInterpretation == "YBR_FULL_422" else 1)
        if len(pixels) < math.ceil(least / 8):
            raise UnreadableError("the object has fewer pixels than it says")
    if not pixels:
        raise UnreadableError("the object has fewer pixels than it says")
    return pixels
